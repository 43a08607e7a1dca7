"""Google's own SDK through gpt-load: what it got, and what the provider saw."""

import pytest
from conftest import TOKEN
from google import genai

ASK = {"model": "gemini-2.5-flash", "contents": "Hi", "config": {"max_output_tokens": 5}}


@pytest.fixture
def client():
    """A client must outlive its requests: it closes its connections when it is gone."""
    clients = []

    def client(proxy):
        clients.append(genai.Client(api_key=TOKEN, http_options={"base_url": proxy.url}))
        return clients[-1].models

    return client


def test_an_answer(start, mock, client):
    proxy = start()
    assert client(proxy).generate_content(**ASK).text == "Hello from the mock provider"
    seen = mock.only()
    assert (seen["target"], seen["key"], seen["place"]) == (
        "/v1/models/gemini-2.5-flash:generateContent",
        proxy.keys[0],
        "x-goog-api-key",
    )
    assert TOKEN not in str(seen)


def test_a_stream(start, mock, client):
    proxy = start()
    pieces = [chunk.text for chunk in client(proxy).generate_content_stream(**ASK)]
    assert len(pieces) == 5 and "".join(pieces) == "Hello from the mock provider"
    assert mock.only()["finished"]


def test_a_revoked_key_is_healed_invisibly(start, mock, client):
    proxy = start(keys=2)
    mock.play(proxy.keys[0], "revoked")
    assert client(proxy).generate_content(**ASK).text
    assert mock.keys() == proxy.keys
    (entry,) = proxy.blacklist()
    assert (entry["index"], entry["permanent"]) == (0, True)


def test_a_stream_that_dies_does_not_look_whole(start, mock, client):
    proxy = start()
    for key in proxy.keys:
        mock.play(key, "dying 3")
    got = []
    with pytest.raises(genai.errors.APIError) as raised:
        for chunk in client(proxy).generate_content_stream(**ASK):
            got.append(chunk.text)
    assert len(got) == 3, raised.value
    assert proxy.ended(1)["failures"]["broken_answer"] == 1
    assert proxy.blacklist() == []
