"""curl through gpt-load: what no SDK sends."""

import json
import subprocess

import pytest
from conftest import TOKEN

BEARER = f"authorization: Bearer {TOKEN}"
GEMINI = {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 5}}


def curl(*arguments):
    """Status and body."""
    command = ["curl", "--silent", "--show-error", "--max-time", "15", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def post(url, body, *arguments):
    return curl(url, "--json", json.dumps(body), *arguments)


def test_the_readmes_first_request(start, mock):
    proxy = start()
    body = {"model": "mock-model", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    status, answer = post(f"{proxy.v1}/chat/completions", body, "--header", BEARER)
    assert status == 200
    assert json.loads(answer)["choices"][0]["message"]["content"] == "Hello from the mock provider"
    assert mock.only()["key"] == proxy.keys[0]


@pytest.mark.parametrize("http", ["--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"])
def test_every_version_of_http(start, mock, http):
    proxy = start()
    body = {"model": "mock-model", "messages": [], "stream": True, "max_tokens": 5}
    status, answer = post(f"{proxy.v1}/chat/completions", body, "--no-buffer", http, "--header", BEARER)
    assert status == 200
    assert answer.rstrip().endswith("data: [DONE]")
    assert mock.only()["finished"]


@pytest.mark.parametrize(
    ("where", "place"), [("header", "x-goog-api-key"), ("query", "key")]
)
def test_geminis_key_in_either_place(start, mock, where, place):
    proxy = start()
    url = f"{proxy.url}/v1beta/models/gemini-mock:generateContent"
    if where == "query":
        status, answer = post(f"{url}?alt=json&key={TOKEN}", GEMINI)
    else:
        status, answer = post(url, GEMINI, "--header", f"x-goog-api-key: {TOKEN}")
    assert status == 200
    parts = json.loads(answer)["candidates"][0]["content"]["parts"]
    assert parts[0]["text"] == "Hello from the mock provider"
    seen = mock.only()
    assert (seen["key"], seen["place"]) == (proxy.keys[0], place)
    assert TOKEN not in str(seen)


def test_geminis_invalid_key_is_a_400_and_healed_all_the_same(start, mock):
    proxy = start(keys=2)
    mock.play(proxy.keys[0], "revoked")
    url = f"{proxy.url}/v1beta/models/gemini-mock:streamGenerateContent?alt=sse"
    status, answer = post(url, GEMINI, "--header", f"x-goog-api-key: {TOKEN}")
    assert status == 200
    assert answer.count("data: ") == 5
    assert [seen["status"] for seen in mock.seen()] == [400, 200]
    (entry,) = proxy.blacklist()
    assert entry["permanent"]


def test_what_the_client_says_of_itself_stays_with_us(start, mock):
    proxy = start()
    headers = ["cookie: session=1", "x-forwarded-for: 10.0.0.1", "x-api-key: mine", "openai-organization: org-mine"]
    arguments = [part for header in headers for part in ("--header", header)]
    status, _ = curl(f"{proxy.v1}/models", "--header", BEARER, *arguments)
    assert status == 200
    names = {name for name, _ in mock.only()["headers"]}
    assert names.isdisjoint({"cookie", "x-forwarded-for", "x-api-key", "openai-organization"})


def test_the_monitoring_pages_ask_for_the_token(start, mock):
    proxy = start()
    for path, without in [("/health", 200), ("/livez", 200), ("/readyz", 200), ("/stats", 401), ("/blacklist", 401)]:
        assert curl(proxy.url + path)[0] == without
        assert curl(proxy.url + path, "--header", BEARER)[0] == 200
    status, answer = curl(f"{proxy.url}/reset-keys", "--request", "POST", "--header", BEARER)
    assert (status, json.loads(answer)["total_keys"]) == (200, 3)
    assert mock.seen() == []
