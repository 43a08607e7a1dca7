"""The house for the SDK tests: a mock provider for all of them, and for each test a gpt-load of its own in front."""

import json
import os
import re
import subprocess
import threading
import time
import urllib.request

import pytest

TOKEN = "token-of-the-clients"
# gpt-load's own patience is not what is tested here.
PATIENCE = 15


def eventually(condition, what):
    """Waits for a condition that comes true a moment after an answer, and returns what it gave."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)
    return found


class Process:
    """A server that prints where it listens."""

    def __init__(self, command, address, environment=None):
        self.lines = []
        self.address = None
        self._address = re.compile(address)
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        eventually(lambda: self.address or self._process.poll() is not None, f"{command[0]} listens")
        assert self.address, "".join(self.lines)

    def _read(self):
        for line in self._process.stdout:
            self.lines.append(line)
            if not self.address and (found := self._address.search(line)):
                self.address = found[1]

    @property
    def url(self):
        return f"http://{self.address}"

    def stop(self):
        """Ends it, and returns its exit status."""
        self._process.terminate()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join()
        return status

    def json(self, method, path, body=None, token=None):
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Mock(Process):
    """The provider: what its keys play, and what it saw."""

    def __init__(self):
        super().__init__([os.environ["MOCK_PROVIDER"]], r"listening on http://(\S+)")
        self.json("POST", "/_mock/play", {"unknown": "valid"})

    def reset(self):
        self.json("POST", "/_mock/reset")

    def play(self, key, play):
        self.json("POST", "/_mock/play", {"key": key, "play": play})

    def seen(self):
        return self.json("GET", "/_mock/seen")["exchanges"]

    def only(self):
        """The one request that it saw."""
        seen = self.seen()
        assert len(seen) == 1, seen
        return seen[0]

    def keys(self):
        return [exchange["key"] for exchange in self.seen()]


class Proxy(Process):
    """gpt-load."""

    def __init__(self, directory, upstream, keys, settings):
        self.keys = keys
        (directory / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
        environment = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "KEYS_FILE": str(directory / "keys.txt"),
            "OPENAI_BASE_URL": upstream,
            "AUTH_KEY": TOKEN,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
            **settings,
        }
        super().__init__([os.environ["GPT_LOAD"]], r'"gpt-load is serving".*"address":"([^"]+)"', environment)

    @property
    def v1(self):
        return self.url + "/v1"

    def stats(self):
        return self.json("GET", "/stats", token=TOKEN)["requests"]

    def blacklist(self):
        return self.json("GET", "/blacklist", token=TOKEN)["blacklisted_keys"]

    def ended(self, requests):
        """The figures once that many requests have ended."""
        def all_of_them():
            stats = self.stats()
            return stats if stats["total_count"] >= requests else None

        stats = eventually(all_of_them, f"{requests} requests end")
        assert stats["total_count"] == requests, stats
        return stats


@pytest.fixture(scope="session")
def provider():
    mock = Mock()
    yield mock
    mock.stop()


@pytest.fixture
def mock(provider):
    provider.reset()
    return provider


@pytest.fixture
def start(mock, tmp_path):
    """Starts gpt-load with so many keys. After the test it must drain well, and its log must not tell a secret."""
    started = []

    def start(keys=3, **settings):
        names = [f"sk-pool-{number}-{tmp_path.name[-20:]}-secret" for number in range(keys)]
        started.append(Proxy(tmp_path, mock.url, names, settings))
        return started[-1]

    yield start
    for proxy in started:
        assert proxy.stop() == 0, "".join(proxy.lines)
        log = "".join(proxy.lines)
        assert TOKEN not in log
        assert not any(key in log for key in proxy.keys)
