#!/usr/bin/env python3
"""Counts instructions under callgrind, per proxied request, per event of a stream and per lease, and fails if one costs
more than benches/budget.toml allows. Each figure is a difference, of N and 2 N, so that starting up drops out of it.

`--set` writes what was counted into the budget."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import tomllib
except ImportError:
    sys.exit("make bench-instr needs Python 3.11 or newer")

ROOT = Path(__file__).resolve().parent.parent
BUDGET = ROOT / "benches" / "budget.toml"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "instr"
KEYS = 100


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def counted(folder):
    """Instructions in all of callgrind's files, which it writes a part at a time."""
    text = "".join(path.read_text() for path in folder.glob("callgrind.*"))
    return sum(int(total) for total in re.findall(r"^totals: (\d+)", text, re.M))


def callgrind(folder, *command):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.%p", *map(str, command)]


def leases(count):
    with tempfile.TemporaryDirectory() as folder:
        command = callgrind(folder, TARGET / "load", "leases", "--leases", count)
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return counted(Path(folder))


def proxied(settings, *work):
    """Instructions of a gpt-load with one worker, from its start to its end, that did this work."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "keys.txt").write_text("".join(f"sk-proj-{key:043}\n" for key in range(KEYS)))
        upstream = free_port()
        environment = {
            "HOST": "127.0.0.1", "PORT": "0", "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}", "WORKERS": "1",
            "REQUEST_TIMEOUT": "600", "PATH": os.environ["PATH"], **settings,
        }
        server = subprocess.Popen(
            callgrind(folder, TARGET / "gpt-load"), cwd=folder, env=environment,
            stdout=(folder / "log").open("w"), stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + 60
            while not (serving := re.search(r"gpt-load is serving .*address=(\S+)", (folder / "log").read_text())):
                if server.poll() is not None or time.monotonic() > until:
                    sys.exit("gpt-load did not start:\n" + (folder / "log").read_text())
                time.sleep(0.05)
            client = [TARGET / "load", "lockstep", "--proxy", serving[1], "--port", upstream, *work]
            done = subprocess.run(list(map(str, client)), capture_output=True, text=True, timeout=300)
        finally:
            server.terminate()
            server.wait(60)
        if "AddrInUse" in done.stderr:
            # Somebody took the port since it was found to be free.
            return proxied(settings, *work)
        if done.returncode:
            sys.exit(f"load lockstep: {done.stderr}gpt-load's log ends with:\n{(folder / 'log').read_text()[-2000:]}")
        return counted(folder)


def per_item(measure, count):
    return (measure(2 * count) - measure(count)) / count


def main():
    if not shutil.which("valgrind"):
        sys.exit("make bench-instr needs valgrind: apt-get install valgrind")
    build = ["cargo", "build", "--locked", "--profile", "instr", "--package", "gpt-load", "--package", "load", "--bins"]
    subprocess.run(build, cwd=ROOT, check=True)
    found = {
        "request": per_item(lambda count: proxied({}, "--requests", count), 2000),
        "request_without_log": per_item(lambda count: proxied({"LOG_ENABLE_REQUEST": "false"}, "--requests", count), 1000),
        "request_without_usage": per_item(lambda count: proxied({"USAGE": "false"}, "--requests", count), 2000),
        "event": per_item(lambda count: proxied({}, "--pieces", count), 1000),
        "event_in_burst": per_item(lambda count: proxied({}, "--pieces", count, "--events", 50), 200) / 50,
        "lease": per_item(leases, 100_000),
    }
    budget = tomllib.loads(BUDGET.read_text())
    allowed = 1 + budget["tolerance_percent"] / 100
    print(f"{'instructions per':<22}{'counted':>10}{'budget':>10}{'change':>9}")
    over = False
    for name, count in found.items():
        limit = budget["instructions"][name]
        over |= count > limit * allowed
        print(f"{name:<22}{count:>10.0f}{limit:>10}{count / limit - 1:>+9.1%}{'  OVER' if count > limit * allowed else ''}")
    if "--set" in sys.argv:
        text = BUDGET.read_text()
        for name, count in found.items():
            text = re.sub(rf"^{name} = .*$", f"{name} = {count:.0f}", text, flags=re.M)
        BUDGET.write_text(text)
    elif over:
        sys.exit("Over budget. If what it buys is worth it: scripts/bench-instr.py --set, and say why in docs/performance.md.")


if __name__ == "__main__":
    main()
