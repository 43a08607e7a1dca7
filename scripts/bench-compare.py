#!/usr/bin/env python3
"""Compares gpt-load with nginx, HAProxy and bare pass-throughs on hyper, on this machine, in interleaved rounds.

The proxy has one core and everything else the others. Prints a table of medians in markdown and writes
target/bench-compare.json. GPT_LOAD names another binary than the release build, to compare with."""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench_proxies import (
    CHAT, CORES, GUIDED, LOAD, MOST_STREAMS, OTHER_CORES, ROOT, TARGET, Origin, Proxy, build, keys_file, load, need, pinned,
    raise_files, workplace,
)

# The one by `make build-pgo` if it was made.
OURS = ["gpt-load", "gpt-load, no log", *(["gpt-load, PGO", "gpt-load, PGO, no log"] if GUIDED.exists() else [])]
PROXIES = [*OURS, "nginx", "haproxy", "bare hyper", "bare hyper, pooled"]
# The bare ones speak no TLS.
SECURE = PROXIES[:-2]
PAGE = ROOT / "docs" / "performance.md"
MARKS = "<!-- Written by scripts/bench-compare.py --write -->", "<!-- Until here -->"
# What is asked of gpt-load with everything on: so much, or so many times what another needs.
GOALS = [
    ("CPU per request, µs", "≤", 1.0, "nginx"),
    ("CPU per request, µs", "≤", 0.95, "haproxy"),
    ("requests/s", "≥", 1.0, "nginx"),
    ("requests/s", "≥", 1.0, "haproxy"),
    ("system calls per request", "≤", 6, None),
    ("latency added, p50, µs", "≤", 60, None),
    ("latency added, p99, µs", "≤", 1.0, "nginx"),
    ("CPU per GB of SSE in chunks of 1 KiB, s", "≤", 1.0, "nginx"),
    ("CPU per burst of 50 events, µs", "≤", 1.0, "nginx"),
    ("events every 10 ms: delay added, p50, µs", "≤", 1.0, "nginx"),
    ("events every 10 ms: delay added, p99, µs", "≤", 1.0, "nginx"),
    ("RSS with 10,000 open streams, MB", "≤", 150, None),
]


class Bench:
    """What is measured, of whom, for how long, and what came of it."""

    def __init__(self, folder, quick):
        self.folder, self.pace, self.rounds = folder, 0.4 if quick else 1.0, 1 if quick else 5
        self.origin, self.secure = Origin(folder), Origin(folder, Path(folder) / "ca.pem")
        self.figures = {}
        self.script = Path(folder) / "wrk.lua"
        text = "x" * 130
        self.script.write_text(f"""wrk.method = "POST"
wrk.headers = {{ ["authorization"] = "Bearer sk-client", ["content-type"] = "application/json", ["accept"] = "application/json",
  ["user-agent"] = "OpenAI/Python 2.8.0", ["x-stainless-lang"] = "python", ["x-stainless-retry-count"] = "0" }}
wrk.body = '{{"model":"gpt-5","messages":[{{"role":"user","content":"{text}"}}]}}'
""")

    def note(self, measure, proxy, figure):
        if proxy.origin.certificate:
            measure += " · TLS behind"
        self.figures.setdefault(measure, {}).setdefault(proxy.name, []).append(figure)

    def closed(self, proxy, seconds, target, connections, body=200):
        """Asks at full speed; what was seen, and the processor time that it took the proxy."""
        before = proxy.cpu()
        seen = load("closed", "--to", f"127.0.0.1:{proxy.port}", "--target", CHAT + target, "--seconds", seconds * self.pace,
                    "--connections", connections, "--body", body)
        if seen["errors"] or not seen["count"]:
            sys.exit(f"{proxy.name} failed {seen['errors']} requests for {target}, and answered {seen['count']}")
        return seen, proxy.cpu() - before

    def requests(self, proxies):
        for proxy in proxies:
            before = proxy.cpu()
            seconds = max(1, round(3 * self.pace))
            url = f"http://127.0.0.1:{proxy.port}{CHAT}?size=700"
            wrk = ["wrk", "--threads", 1, "--connections", 32, "--duration", f"{seconds}s", "--script", self.script, url]
            done = subprocess.run(pinned(OTHER_CORES, *wrk), capture_output=True, text=True)
            count, took = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout).groups()
            if done.returncode or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
                sys.exit(f"{proxy.name} failed requests of wrk: {done.stdout}{done.stderr}")
            spent = proxy.cpu() - before
            self.note("requests/s", proxy, int(count) / float(took))
            self.note("CPU per request, µs", proxy, spent * 1e6 / int(count))
            self.note("of its core, %", proxy, spent * 100 / float(took))

    def chunks(self, proxies, sizes=(100, 1024, 16384)):
        for size in sizes:
            # A stream is long enough for its beginning not to count.
            name, whole = {100: ("100 B", 5e6), 1024: ("1 KiB", 5e7), 16384: ("16 KiB", 2e8)}[size]
            for proxy in proxies:
                seen, spent = self.closed(proxy, 1.2, f"?stream={whole:.0f}&size={size}", 2)
                self.note(f"CPU per GB of SSE in chunks of {name}, s", proxy, spent * 1e9 / seen["bytes"])

    def bursts(self, proxies):
        for proxy in proxies:
            seen, spent = self.closed(proxy, 1.2, "?events=50&size=100", 8)
            self.note("CPU per burst of 50 events, µs", proxy, spent * 1e6 / seen["count"])

    def uploads(self, proxies):
        for proxy in proxies:
            seen, spent = self.closed(proxy, 1.5, "?size=700", 2, body=10_000_000)
            self.note("CPU per upload of 10 MB, ms", proxy, spent * 1e3 / seen["count"])
            self.note("upload of 10 MB, p50, ms", proxy, seen["p50_us"] / 1e3)

    def latency(self, proxies):
        """What a proxy adds at a low and fixed rate, open loop."""
        for target, rate, seconds, shares in [
            ("?size=700", 1000, 2.5,
             {"latency added, p50": "p50_us", "latency added, p99": "p99_us", "latency added, p99.9": "p999_us"}),
            ("?events=20&size=100&pace=2", 50, 1.2, {"first byte of a stream, added, p50": "first_byte_p50_us"}),
        ]:
            asked = ["--target", CHAT + target, "--rate", rate, "--connections", 8, "--seconds", seconds * self.pace]
            direct = load("open", "--to", f"127.0.0.1:{self.origin.port}", *asked)
            for proxy in proxies:
                seen = load("open", "--to", f"127.0.0.1:{proxy.port}", *asked)
                for name, share in shares.items():
                    self.note(f"{name}, µs", proxy, seen[share] - direct[share])

    def paced(self, proxies):
        def delays(port):
            return load("streams", "--to", f"127.0.0.1:{port}", "--target", CHAT + "?events=100000&size=100&pace=10",
                        "--connections", 20, "--seconds", 2 * self.pace)

        direct = delays(self.origin.port)
        for proxy in proxies:
            seen = delays(proxy.port)
            for share in ("p50", "p99"):
                self.note(f"events every 10 ms: delay added, {share}, µs", proxy, seen[f"{share}_us"] - direct[f"{share}_us"])

    def a_round(self, proxies, secure, wanted):
        for measure in (self.requests, self.chunks, self.bursts, self.uploads, self.latency, self.paced):
            if measure.__name__ in wanted:
                measure(proxies)
        if "tls" in wanted and secure:
            self.requests(secure)
            self.chunks(secure, sizes=[1024])
            self.latency(secure)

    def syscalls(self, proxies):
        for proxy in proxies:
            counts = Path(self.folder) / "strace"
            strace = subprocess.Popen(pinned(OTHER_CORES, "strace", "-c", "-f", "-o", counts, "-p", proxy.process.pid),
                                      stderr=subprocess.PIPE, text=True)
            strace.stderr.readline()  # It says when it is attached.
            seen, _ = self.closed(proxy, 1, "?size=700", 32)
            strace.send_signal(signal.SIGINT)
            strace.wait()
            total = next((line for line in counts.read_text().splitlines() if line.endswith(" total")), None)
            if total is None:
                print(f"strace may not look at {proxy.name}: its system calls are not counted", file=sys.stderr)
                return
            self.note("system calls per request", proxy, int(total.split()[3]) / seen["count"])

    def memory(self, names, origin):
        """Resident memory with slow streams open; each proxy fresh."""
        for name in names:
            proxy = Proxy(name, origin, self.folder)
            self.note("RSS, idle, MB", proxy, proxy.rss())
            for streams in (2000, MOST_STREAMS):
                open_files = Path(f"/proc/{proxy.process.pid}/fd")
                possible = min(streams, proxy.files // 2 - 150)
                client = subprocess.Popen(
                    pinned(OTHER_CORES, LOAD, "streams", "--to", f"127.0.0.1:{proxy.port}", "--target",
                           CHAT + "?events=100000&size=100&pace=1000", "--connections", possible, "--seconds", 600),
                    stdout=subprocess.DEVNULL)
                try:
                    until = time.monotonic() + 60
                    while len(list(open_files.iterdir())) < 2 * possible and time.monotonic() < until:
                        time.sleep(0.2)
                    time.sleep(3)
                    reached = min(possible, len(list(open_files.iterdir())) // 2)
                    if reached < streams:
                        print(f"{name}: {reached} streams, not {streams}", file=sys.stderr)
                    self.note(f"RSS with {streams:,} open streams, MB", proxy, proxy.rss() * streams / max(1, reached))
                finally:
                    client.kill()
                    client.wait()
            proxy.stop()

    def starting(self):
        for count in (100, 40_000, 1_000_000):
            keys = keys_file(self.folder, count)
            for _ in range(self.rounds):
                began = time.monotonic()
                proxy = Proxy("gpt-load", self.origin, self.folder, keys)
                self.note(f"first answer after start with {count:,} keys, ms", proxy, (time.monotonic() - began) * 1e3)
                proxy.stop()

    def run(self, names, wanted):
        proxies = [Proxy(name, self.origin, self.folder) for name in names]
        secure = [Proxy(name, self.secure, self.folder) for name in names if name in SECURE and "tls" in wanted]
        pace, self.pace = self.pace, 0.2
        self.a_round(proxies, secure, wanted)  # Warms up.
        self.pace, self.figures = pace, {}
        for number in range(self.rounds):
            print(f"round {number + 1} of {self.rounds}", file=sys.stderr)
            order = 1 if number % 2 == 0 else -1
            self.a_round(proxies[::order], secure[::order], wanted)
        if "syscalls" in wanted:
            self.syscalls(proxies)
        for proxy in proxies + secure:
            proxy.stop()
        if "memory" in wanted:
            self.memory(names, self.origin)
            if "tls" in wanted:
                self.memory([name for name in names if name in SECURE], self.secure)
        if "starting" in wanted:
            self.starting()


MEASURES = ["requests", "chunks", "bursts", "uploads", "latency", "paced", "tls", "syscalls", "memory", "starting"]


def shown(figure):
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.1f}" if abs(figure) >= 1 else f"{figure:.2f}"


def table(medians, names):
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for measure, by_name in medians.items():
        yardstick, cells = by_name.get("nginx", 0), []
        for name in names:
            cell = shown(by_name[name]) if name in by_name else ""
            if cell and name != "nginx" and yardstick > 0 and by_name[name] > 0:
                cell += f" ({by_name[name] / yardstick:.2f})"
            cells.append(cell)
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def goals(medians):
    lines = ["| goal for gpt-load, everything on | reached | |", "|---|---:|---|"]
    for measure, sense, limit, yardstick in GOALS:
        by_name = medians.get(measure, {})
        if "gpt-load" not in by_name or yardstick and yardstick not in by_name:
            continue
        reached, allowed, asked = by_name["gpt-load"], limit, shown(limit)
        if yardstick:
            allowed, asked = limit * by_name[yardstick], f"{limit:.2f} × {yardstick}'s {shown(by_name[yardstick])}"
        met = reached <= allowed if sense == "≤" else reached >= allowed
        lines.append(f"| {measure} {sense} {asked} | {shown(reached)} | {'yes' if met else 'no'} |")
    return "\n".join(lines)


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())

    def version(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)[0]

    return (f"{len(CORES)} cores of {model[1] if model else platform.machine()}, Linux {platform.release()}, "
            f"nginx {version('nginx', '-v')}, HAProxy {version('haproxy', '-v')}, {datetime.date.today()}")


def write(text):
    """Puts the figures where docs/performance.md has its place for them."""
    page = PAGE.read_text()
    before, found, rest = page.partition(MARKS[0])
    _, ended, after = rest.partition(MARKS[1])
    if not found or not ended:
        sys.exit(f"{PAGE} has lost its marks: {MARKS}")
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="one short round: for a look, not for a figure")
    arguments.add_argument("--only", action="append", default=[], choices=MEASURES + PROXIES, metavar="NAME",
                           help=f"a measure or a proxy; may be repeated: {', '.join(MEASURES + PROXIES)}")
    arguments.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    arguments = arguments.parse_args()
    wanted = [name for name in arguments.only if name in MEASURES] or MEASURES
    if wanted == ["tls"]:
        wanted = ["tls", "memory"]
    names = [name for name in PROXIES if name in arguments.only] or PROXIES
    need("taskset", "wrk", "nginx", "haproxy", *(["strace"] if "syscalls" in wanted else []))
    build()
    raise_files()
    if len(CORES) < 2:
        print("Only one core: the proxy shares it with its load, and the figures say little", file=sys.stderr)
    load_average, began = os.getloadavg()[0], time.monotonic()
    with workplace() as folder:
        bench = Bench(folder, arguments.quick)
        bench.run(names, wanted)
    medians = {
        measure: {name: statistics.median(figures) for name, figures in by_name.items()}
        for measure, by_name in bench.figures.items()
    }
    text = (f"{machine()}; medians of {bench.rounds} rounds; in brackets: times nginx's. The load average was "
            f"{load_average:.1f} when it began; it took {(time.monotonic() - began) / 60:.0f} minutes.\n\n"
            f"{table(medians, names)}\n\n{goals(medians)}")
    print(text)
    TARGET.mkdir(exist_ok=True)
    told = {"machine": machine(), "load_average": load_average, "rounds": bench.rounds, "medians": medians, "figures": bench.figures}
    (TARGET / "bench-compare.json").write_text(json.dumps(told, indent=1, ensure_ascii=False))
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
