#!/usr/bin/env python3
"""Compares gpt-load with nginx, HAProxy and a bare pass-through on hyper, on this machine, in interleaved rounds.

The proxy has one core and everything else the others. Prints a markdown table and writes target/bench-compare.json.
QUICK=1 takes two minutes instead of twenty. GPT_LOAD names another binary than the release build, to compare with."""

import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LOAD = TARGET / "release" / "load"
GPT_LOAD = Path(os.environ.get("GPT_LOAD", TARGET / "release" / "gpt-load"))
QUICK = os.environ.get("QUICK") not in (None, "", "0")
ROUNDS = 2 if QUICK else 5
SECONDS = 1.5 if QUICK else 4
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, OTHER_CORES = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
ORIGIN, TLS_ORIGIN = 18100, 18101
TICKS = os.sysconf("SC_CLK_TCK")
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CHAT = "/v1/chat/completions"


def start(command, cores, **more):
    return subprocess.Popen(
        list(map(str, command)), preexec_fn=lambda: os.sched_setaffinity(0, cores), stderr=subprocess.DEVNULL,
        **{"stdout": subprocess.DEVNULL, **more},
    )


def listens(port):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    sys.exit(f"nobody listens on port {port}")


def load(*arguments):
    done = subprocess.run(
        [str(LOAD), *map(str, arguments)], capture_output=True, text=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CORES),
    )
    return json.loads(done.stdout)


def keys_file(folder, count):
    path = Path(folder) / f"keys-{count}.txt"
    path.write_text("".join(f"sk-proj-{key:043}\n" for key in range(count)))
    return path


class Proxy:
    """A proxy on a port of its own, and the processes it consists of."""

    def __init__(self, name, port, folder, tls):
        self.name, self.port, self.folder, self.tls = name, port, Path(folder) / f"{port}", tls
        self.folder.mkdir()
        self.process = start(self.command(), PROXY_CORE, cwd=self.folder, env=self.environment())
        listens(port)

    def environment(self):
        upstream = f"https://127.0.0.1:{TLS_ORIGIN}" if self.tls else f"http://127.0.0.1:{ORIGIN}"
        return {
            "PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": str(self.port), "OPENAI_BASE_URL": upstream, "WORKERS": "1",
            "KEYS_FILE": str(keys_file(self.folder, 100)), "MAX_CONCURRENT_REQUESTS": "100000",
            "LOG_ENABLE_REQUEST": "true" if "logging" in self.name else "false",
            "UPSTREAM_CA_FILE": str(self.folder.parent / "ca.pem") if self.tls else "",
        }

    def command(self):
        if self.name.startswith("gpt-load"):
            return [GPT_LOAD]
        if self.name.startswith("bare"):
            pooled = ["--pooled"] if "pooled" in self.name else []
            return [LOAD, "bare", "--port", self.port, "--to", f"127.0.0.1:{ORIGIN}", *pooled]
        config = self.folder / "config"
        config.write_text(self.nginx() if self.name == "nginx" else self.haproxy())
        if self.name == "nginx":
            return ["nginx", "-p", self.folder, "-c", config, "-e", "error.log"]
        return ["haproxy", "-f", config, "-db"]

    def nginx(self):
        trusted = self.folder.parent / "ca.pem"
        verify = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {trusted}; proxy_ssl_name localhost;" if self.tls else ""
        return f"""daemon off; master_process off; worker_rlimit_nofile {FILES}; pid nginx.pid; error_log error.log crit;
events {{ worker_connections {min(FILES, 60000)}; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 0; client_body_temp_path .; proxy_temp_path .;
  fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
  upstream origin {{ server 127.0.0.1:{TLS_ORIGIN if self.tls else ORIGIN}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass {"https" if self.tls else "http"}://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer sk-proj-x"; proxy_buffering off; proxy_request_buffering off;
      proxy_read_timeout 600s; {verify}
    }}
  }}
}}
"""

    def haproxy(self):
        secure = f" ssl verify required ca-file {self.folder.parent / 'ca.pem'} verifyhost localhost" if self.tls else ""
        return f"""global
  nbthread 1
  maxconn {min(FILES // 2 - 100, 30000)}
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend front
  bind 127.0.0.1:{self.port} backlog 4096
  http-request set-header authorization "Bearer sk-proj-x"
  default_backend origin
backend origin
  server origin 127.0.0.1:{TLS_ORIGIN if self.tls else ORIGIN}{secure}
"""

    def cpu(self):
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        # The scheduler's count is exact where the kernel gives it; ticks are 10 ms.
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        exact = sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
        return exact or (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def stop(self):
        self.process.kill()
        self.process.wait()


class Results(dict):
    """What was measured: measure → proxy → figures."""

    def note(self, measure, proxy, figure):
        self.setdefault(measure, {}).setdefault(proxy, []).append(figure)


def closed(proxy, results, measure, target, per, seconds=SECONDS, connections=32, body=200, unit=1e6):
    """Asks at full speed; notes processor time per answer, or per byte of answers."""
    before = proxy.cpu()
    seen = load("closed", "--to", f"127.0.0.1:{proxy.port}", "--target", CHAT + target, "--seconds", seconds,
                "--connections", connections, "--body", body)
    spent = proxy.cpu() - before
    if seen["errors"] or not seen["count"]:
        sys.exit(f"{measure}: {proxy.name} failed {seen['errors']} of {seen['count']} requests")
    results.note(measure, proxy.name, spent * unit / (seen["count"] if per == "answer" else seen["bytes"] / 1e9))
    return seen


def added_latency(proxies, results):
    rate = ["--rate", 400, "--connections", 4, "--seconds", 2 * SECONDS]
    direct = load("open", "--to", f"127.0.0.1:{ORIGIN}", "--target", CHAT + "?size=700", *rate)
    for proxy in proxies:
        seen = load("open", "--to", f"127.0.0.1:{proxy.port}", "--target", CHAT + "?size=700", *rate)
        for share, name in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("first_byte_p50", "first byte p50")]:
            results.note(f"added latency, {name}, µs", proxy.name, seen[f"{share}_us"] - direct[f"{share}_us"])


def paced(proxies, results):
    for proxy in proxies:
        seen = load("streams", "--to", f"127.0.0.1:{proxy.port}", "--target", CHAT + "?events=100000&size=100&pace=10",
                    "--connections", 20, "--seconds", SECONDS)
        for share in ("p50", "p99"):
            results.note(f"events every 10 ms: delay {share}, µs", proxy.name, seen[f"{share}_us"])


def a_round(proxies, secure, results):
    for proxy in proxies:
        seen = closed(proxy, results, "CPU per request, µs", "?size=700", "answer")
        results.note("requests/s, proxy on one core", proxy.name, seen["per_second"])
    for size, bytes, name in [(100, 5e6, "100 B"), (1024, 5e7, "1 KiB"), (16384, 2e8, "16 KiB")]:
        for proxy in proxies:
            closed(proxy, results, f"CPU per GB of {name} chunks, s", f"?stream={bytes:.0f}&size={size}", "byte", connections=2, unit=1)
    for proxy in proxies:
        closed(proxy, results, "CPU per stream of 50 events at once, µs", "?events=50&size=100", "answer", connections=8)
    for proxy in proxies:
        closed(proxy, results, "CPU per upload of 10 MB, ms", "?size=700", "answer", connections=2, body=10_000_000, unit=1e3)
    for proxy in secure:
        closed(proxy, results, "CPU per request, TLS behind, µs", "?size=700", "answer")
    added_latency(proxies, results)
    paced(proxies, results)


def memory(names, folder, results):
    """Resident memory with slow streams open; each proxy fresh."""
    most = FILES // 2 - 150
    for at, name in enumerate(names):
        proxy = Proxy(name, 18300 + at, folder, False)
        results.note("RSS, idle, MB", name, proxy.rss() / 1024)
        for streams in (2000, 10_000):
            streams = min(streams, most)
            waits = 8 + streams / 1000
            client = start(
                [LOAD, "streams", "--to", f"127.0.0.1:{proxy.port}", "--target", CHAT + "?events=100000&size=100&pace=1000",
                 "--connections", streams, "--seconds", waits], OTHER_CORES, stdout=subprocess.PIPE, text=True)
            time.sleep(waits - 2)
            rss = proxy.rss() / 1024
            seen = json.loads(client.communicate()[0])
            if seen["open"] < streams:
                print(f"{name}: only {seen['open']} of {streams} streams", file=sys.stderr)
            results.note(f"RSS, {streams} open streams, MB", name, rss)
        proxy.stop()


def starting(folder, results):
    for count in (100, 40_000, 1_000_000):
        environment = {
            "PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": "18400", "OPENAI_BASE_URL": f"http://127.0.0.1:{ORIGIN}",
            "KEYS_FILE": str(keys_file(folder, count)), "WORKERS": "1",
        }
        for _ in range(ROUNDS):
            began = time.monotonic()
            process = start([GPT_LOAD], PROXY_CORE, env=environment, cwd=folder)
            listens(18400)
            results.note(f"start with {count:,} keys, ms", "gpt-load", (time.monotonic() - began) * 1e3)
            process.kill()
            process.wait()


def table(results, names):
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for measure, by_name in results.items():
        medians = {name: statistics.median(figures) for name, figures in by_name.items()}
        cells = []
        for name in names:
            if name not in medians:
                cells.append("")
                continue
            figure = medians[name]
            text = f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.1f}" if abs(figure) >= 1 else f"{figure:.2f}"
            if medians.get("nginx") and name != "nginx":
                text += f" ({figure / medians['nginx']:.2f})"
            cells.append(text)
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    for program in ("nginx", "haproxy"):
        if not shutil.which(program):
            sys.exit(f"make bench-compare needs {program}: apt-get install nginx haproxy")
    build = ["cargo", "build", "--release", "--locked", "--package", "gpt-load", "--package", "load", "--bins"]
    if not (os.environ.get("GPT_LOAD") and LOAD.exists()):
        subprocess.run(build, cwd=ROOT, check=True)
    if len(CORES) < 2:
        print("only one core: the proxy shares it with the load, and requests/s say little", file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    names = ["gpt-load", "gpt-load, logging", "nginx", "haproxy", "bare hyper", "bare hyper, pooled"]
    results = Results()
    running = []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        try:
            running.append(start([LOAD, "origin", "--port", ORIGIN], OTHER_CORES))
            running.append(start([LOAD, "origin", "--port", TLS_ORIGIN, "--tls", f"{folder}/ca.pem"], OTHER_CORES))
            listens(ORIGIN)
            listens(TLS_ORIGIN)
            proxies = [Proxy(name, 18200 + at, folder, False) for at, name in enumerate(names)]
            secure = [Proxy(name, 18250 + at, folder, True) for at, name in enumerate(names[:4])]
            running += [proxy.process for proxy in proxies + secure]
            began = os.getloadavg()
            a_round(proxies, secure, Results())  # Warms up.
            for number in range(ROUNDS):
                print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
                a_round(proxies, secure, results)
            for proxy in proxies + secure:
                proxy.stop()
            memory(names, folder, results)
            starting(folder, results)
        finally:
            for process in running:
                process.kill()
                process.wait()
    print(f"Medians of {ROUNDS} rounds; in brackets: times nginx's. Load average when it began: {began[0]:.1f}.\n")
    print(table(results, names))
    (TARGET / "bench-compare.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
