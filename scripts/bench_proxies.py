"""What the benches share: the proxies that are compared, how they are set up, and what they have spent."""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LOAD = TARGET / "release" / "load"
GPT_LOAD = Path(os.environ.get("GPT_LOAD", TARGET / "release" / "gpt-load")).absolute()
# What `make build-pgo` makes.
GUIDED = (TARGET / "release-pgo" / "gpt-load").absolute()
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORES, OTHER_CORES = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
CHAT = "/v1/chat/completions"
MOST_STREAMS = 10_000
# Each stream is a connection on both sides of the proxy.
FILES = 2 * MOST_STREAMS + 1000
# Where to get what a machine may lack.
PACKAGES = {"wrk": "wrk", "nginx": "nginx", "haproxy": "haproxy", "strace": "strace", "taskset": "util-linux"}


def need(*programs):
    """Ends with what to install, if something is missing."""
    # Debian keeps servers where only root looks.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        sys.exit(f"Missing: {', '.join(missing)}. apt-get install {' '.join(PACKAGES[program] for program in missing)}")


def build():
    if os.environ.get("GPT_LOAD") and LOAD.exists():
        return
    packages = ["--package", "gpt-load", "--package", "load"]
    subprocess.run(["cargo", "build", "--release", "--locked", *packages, "--bins"], cwd=ROOT, check=True)


def raise_files():
    """As many open files as this process may have; returns how many."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for most in (FILES, allowed):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, max(most, allowed)))
            break
        except (ValueError, OSError):
            print(f"No more than {allowed} open files are allowed: fewer than {MOST_STREAMS} streams", file=sys.stderr)
    return most


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def pinned(cores, *command):
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *map(str, command)]


def ask(port):
    """One request from a connection of its own; `False` if nobody listens yet."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request("GET", CHAT + "?size=700")
        return client.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        client.close()


def load(*arguments):
    """What one of `load`'s clients has seen."""
    done = subprocess.run(pinned(OTHER_CORES, LOAD, *arguments), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"load {' '.join(map(str, arguments))}: {done.stderr}")
    return json.loads(done.stdout)


def keys_file(folder, count):
    path = Path(folder) / f"keys-{count}.txt"
    path.write_text("".join(f"sk-proj-{key:043}\n" for key in range(count)))
    return path


class Server:
    """A process that serves, on cores of its own; what it writes is shown if it does not start."""

    running = []

    def __init__(self, name, command, cores, folder, environment=None):
        self.name, self.log = name, Path(folder) / f"{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            # The log of a gpt-load that logs is thrown away: the disk is not what is compared.
            quiet = subprocess.DEVNULL if environment and environment.get("LOG_ENABLE_REQUEST") == "true" else log
            self.process = subprocess.Popen(pinned(cores, *command), cwd=folder, env=environment, stdout=quiet, stderr=log)
        Server.running.append(self)

    def until(self, is_there):
        until = time.monotonic() + 60
        while not is_there():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                sys.exit(f"{self.name} did not start: {self.log.read_text()[-2000:] or 'it said nothing'}")
            time.sleep(0.002)
        return self

    def cpu(self):
        """Seconds of processor time so far, of all threads."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def rss(self):
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def end(self):
        """Lets it end by itself."""
        self.process.terminate()
        self.process.wait(60)

    def stop(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def workplace():
    """A folder to work in. It goes with all servers that were started, however this ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield folder
        finally:
            for server in Server.running:
                server.stop()


class Origin(Server):
    """The upstream, on the first `addresses` addresses of 127.0.0.0/8, with TLS if it gets a file for its certificate."""

    def __init__(self, folder, certificate=None, addresses=1):
        self.port, self.certificate, self.addresses = free_port(), certificate, addresses
        tls = ["--tls", certificate] if certificate else []
        command = [LOAD, "origin", "--port", self.port, "--addresses", addresses, *tls]
        super().__init__("origin", command, OTHER_CORES, folder)
        self.until(lambda: "listening" in self.log.read_text())

    def urls(self):
        scheme = "https" if self.certificate else "http"
        return ",".join(f"{scheme}://127.0.0.{number + 1}:{self.port}" for number in range(self.addresses))


class Proxy(Server):
    """One of those that are compared, before an origin, on the proxies' core."""

    def __init__(self, name, origin, folder, keys=None):
        self.origin, self.folder = origin, Path(folder) / f"{time.monotonic_ns()}"
        self.folder.mkdir()
        self.port, self.files = free_port(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        environment = self.settings(name, keys) if name.startswith("gpt-load") else None
        super().__init__(name, self.command(name), PROXY_CORES, self.folder, environment)
        self.until(lambda: ask(self.port))

    def settings(self, name, keys):
        return {
            "PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": str(self.port), "WORKERS": "1",
            "OPENAI_BASE_URL": self.origin.urls(), "KEYS_FILE": str(keys or keys_file(self.folder, 100)), "MAX_CONCURRENT_REQUESTS": "100000",
            "LOG_ENABLE_REQUEST": "false" if "no log" in name else "true",
            "UPSTREAM_CA_FILE": str(self.origin.certificate or ""),
        }

    def command(self, name):
        if name.startswith("gpt-load"):
            return [GUIDED if "PGO" in name else GPT_LOAD]
        if name.startswith("bare"):
            pooled = ["--pooled"] if "pooled" in name else []
            return [LOAD, "bare", "--port", self.port, "--to", f"127.0.0.1:{self.origin.port}", *pooled]
        config = self.folder / "config"
        config.write_text(self.nginx() if name == "nginx" else self.haproxy())
        if name == "nginx":
            return ["nginx", "-p", self.folder, "-c", config, "-e", "stderr"]
        return ["haproxy", "-f", config, "-db"]

    def nginx(self):
        trusted = self.origin.certificate
        secure = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {trusted}; proxy_ssl_name localhost;" if trusted else ""
        return f"""daemon off; master_process off; worker_rlimit_nofile {self.files}; pid nginx.pid; error_log stderr crit;
events {{ worker_connections {self.files}; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 0; client_body_temp_path .; proxy_temp_path .;
  fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
  upstream origin {{ server 127.0.0.1:{self.origin.port}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass {"https" if trusted else "http"}://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer sk-proj-x"; proxy_buffering off; proxy_request_buffering off;
      proxy_read_timeout 600s; {secure}
    }}
  }}
}}
"""

    def haproxy(self):
        trusted = self.origin.certificate
        secure = f" ssl verify required ca-file {trusted} verifyhost localhost" if trusted else ""
        return f"""global
  nbthread 1
  maxconn {self.files // 2 - 100}
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
  server origin 127.0.0.1:{self.origin.port}{secure}
"""
