#!/usr/bin/env python3
"""What a busy gpt-load does, upon the binary that GPT_LOAD names, for `scripts/build-pgo.sh`: small answers, streams whose
events come one by one and in bursts, uploads, clients that go away, TLS behind, HTTP/1.1 kept and not."""

from pathlib import Path

from bench_proxies import CHAT, Origin, Proxy, load, raise_files, workplace

WORK = [
    # Most requests, and most by far of what is paid for.
    ("?size=700", {"seconds": 4, "connections": 16}),
    ("?size=4000", {"seconds": 1, "connections": 16, "body": 8000}),
    ("?events=50&size=100", {"seconds": 1, "connections": 8}),
    ("?events=20&size=100&pace=2", {"seconds": 2, "connections": 32}),
    ("?stream=2000000&size=1024", {"seconds": 1, "connections": 2}),
    ("?size=700", {"seconds": 0.5, "connections": 2, "body": 3_000_000}),
]


def main():
    raise_files()
    with workplace() as folder:
        for origin in (Origin(folder), Origin(folder, Path(folder) / "ca.pem")):
            proxies = [Proxy(name, origin, folder) for name in ("gpt-load", "gpt-load, no log")]
            for proxy in proxies:
                for target, how in WORK:
                    flags = [text for name, value in how.items() for text in (f"--{name}", value)]
                    seen = load("closed", "--to", f"127.0.0.1:{proxy.port}", "--target", CHAT + target, *flags)
                    print(f"{proxy.name:<18}{target:<28}{seen['count']:>8} requests", flush=True)
                # What it counted is written at its end.
                proxy.end()


if __name__ == "__main__":
    main()
