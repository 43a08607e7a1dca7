#!/usr/bin/env python3
"""Holds ten thousand event streams open over fifty upstreams for a minute, each with an event a second. Fails on an error,
on lost events, and if memory grows once it has warmed up."""

import json
import subprocess
import sys
import time

from bench_proxies import (
    CHAT, LOAD, MOST_STREAMS, OTHER_CORES, Origin, Proxy, build, keys_file, need, pinned, raise_files, workplace,
)

UPSTREAMS = 50
WARM_UP, HOLD, EVERY = 20, 60, 5


def held(proxy, streams):
    """What the proxy needed while the streams were open, and what their client saw."""
    client = subprocess.Popen(
        pinned(OTHER_CORES, LOAD, "streams", "--to", f"127.0.0.1:{proxy.port}", "--target",
               CHAT + "?events=100000&size=100&pace=1000", "--connections", streams, "--seconds", WARM_UP + HOLD + 2),
        stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(WARM_UP)
        sizes, spent, began = [proxy.rss()], proxy.cpu(), time.monotonic()
        print("| second | CPU, % of a core | RSS, MB |\n|---:|---:|---:|")
        while time.monotonic() < began + HOLD - EVERY / 2:
            before, since = proxy.cpu(), time.monotonic()
            time.sleep(EVERY)
            sizes.append(proxy.rss())
            share = (proxy.cpu() - before) * 100 / (time.monotonic() - since)
            print(f"| {WARM_UP + time.monotonic() - began:.0f} | {share:.1f} | {sizes[-1]:.1f} |", flush=True)
        share = (proxy.cpu() - spent) * 100 / (time.monotonic() - began)
        return sizes, share, json.loads(client.communicate(timeout=60)[0])
    finally:
        client.kill()
        client.wait()


def main():
    need("taskset")
    build()
    streams = min(MOST_STREAMS, raise_files() // 2 - 150)
    with workplace() as folder:
        proxy = Proxy("gpt-load", Origin(folder, addresses=UPSTREAMS), folder, keys_file(folder, 1000))
        idle = proxy.rss()
        sizes, share, seen = held(proxy, streams)
    print(f"\n{seen['open']} streams over {UPSTREAMS} upstreams, {seen['count']} events, {seen['errors']} errors; "
          f"{share:.1f} % of a core; {sizes[-1]:.1f} MB, {(max(sizes) - idle) * 1000 / streams:.1f} KB a stream; "
          f"events took p50 {seen['p50_us'] / 1e3:.1f} ms, p99 {seen['p99_us'] / 1e3:.1f} ms from the upstream to the client")
    wrong = []
    if seen["errors"] or seen["open"] < streams:
        wrong.append(f"{streams - seen['open']} streams did not open, {seen['errors']} failed")
    # All were open by the time it had warmed up.
    if seen["count"] < streams * HOLD:
        wrong.append("events were lost, or came too late")
    if max(sizes) > sizes[0] * 1.02 + 1:
        wrong.append(f"memory grew from {sizes[0]:.1f} to {max(sizes):.1f} MB")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
