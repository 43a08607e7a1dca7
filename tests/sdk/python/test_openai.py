"""The official openai SDK through gpt-load: what it got, and what the provider saw."""

import asyncio
import hashlib
import io
import json
import os
from collections import Counter

import openai
import pytest
from conftest import TOKEN, eventually

HELLO = [{"role": "user", "content": "Grüße, 你好"}]


def client(proxy, **options):
    return openai.OpenAI(base_url=proxy.v1, api_key=TOKEN, **options)


def chat(client, **options):
    return client.chat.completions.create(model="mock-model", messages=HELLO, **options)


def playing(play):
    """Lets the provider play this for one request, whatever its key."""
    return {"mock": {"play": play}}


def told(status, code, wait=None, then=None):
    """A key's play: a refusal in OpenAI's words."""
    body = {"error": {"message": "Refused.", "type": "error", "param": None, "code": code}}
    headers = [] if wait is None else [["retry-after", str(wait)]]
    answer = {"answer": {"status": status, "headers": headers, "body": body}}
    return answer if then is None else {"sequence": [{"play": answer, "requests": 1}, {"play": then}]}


def test_a_chat(start, mock):
    proxy = start()
    answer = chat(client(proxy), max_tokens=7)
    assert answer.choices[0].message.content == "Hello from the mock provider – grüße 你好"
    assert answer.usage.completion_tokens == 7
    seen = mock.only()
    assert (seen["method"], seen["target"], seen["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (seen["key"], seen["place"]) == (proxy.keys[0], "authorization")
    assert seen["host"] == mock.address
    assert TOKEN not in str(seen)
    assert "Grüße, 你好" in seen["body"]
    assert proxy.ended(1)["success_count"] == 1


def test_a_stream_comes_in_pieces_and_with_its_usage(start, mock):
    proxy = start()
    stream = chat(client(proxy), max_tokens=20, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert len([piece for piece in pieces if piece]) == 20
    assert chunks[-1].usage.completion_tokens == 20
    assert mock.only()["finished"]
    assert proxy.ended(1)["success_count"] == 1


def test_many_at_once_share_the_keys_evenly(start, mock):
    proxy = start(keys=7)

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=proxy.v1, api_key=TOKEN) as client:
            plain = [chat(client) for _ in range(20)]

            async def stream():
                return [chunk async for chunk in await chat(client, stream=True, max_tokens=5)]

            return await asyncio.gather(*plain, *(stream() for _ in range(15)))

    answers = asyncio.run(all_of_them())
    assert len(answers) == 35 and all(answers)
    assert Counter(mock.keys()) == {key: 5 for key in proxy.keys}


def test_embeddings(start, mock):
    proxy = start()
    answer = client(proxy).embeddings.create(model="mock-model", input=["one", "two"], dimensions=8)
    assert [len(item.embedding) for item in answer.data] == [8, 8]
    assert answer.data[1].embedding[:2] == [1 / 256, 2 / 256]
    assert mock.only()["target"] == "/v1/embeddings"


def test_models(start, mock):
    proxy = start()
    models = [model.id for model in client(proxy).models.list()]
    assert models
    assert client(proxy).models.retrieve(models[0]).id == models[0]
    assert [seen["method"] for seen in mock.seen()] == ["GET", "GET"]


def test_a_file_of_20_mb_arrives_byte_for_byte(start, mock):
    proxy = start()
    content = os.urandom(20 * 1024 * 1024)
    answer = client(proxy).files.create(file=("big.bin", io.BytesIO(content)), purpose="user_data")
    assert (answer.bytes, answer.filename) == (len(content), "big.bin")
    assert answer.sha256 == hashlib.sha256(content).hexdigest()
    seen = mock.only()
    assert seen["body_length"] == answer.body_bytes > len(content)
    assert seen["body_sha256"] == answer.body_sha256


def test_a_transcription(start, mock):
    proxy = start()
    sound = b"RIFF" + os.urandom(300_000)
    answer = client(proxy).audio.transcriptions.create(model="whisper-1", file=("voice.wav", sound))
    assert answer.text == f"{len(sound)} bytes of sound"
    assert answer.sha256 == hashlib.sha256(sound).hexdigest()
    assert mock.only()["target"] == "/v1/audio/transcriptions"


def test_speech(start, mock):
    proxy = start()
    sound = client(proxy).audio.speech.create(model="tts-1", voice="alloy", input="Hello").read()
    assert sound[:4] == bytes([0, 1, 2, 3]) and len(sound) >= 4096
    assert mock.only()["finished"]


def test_the_responses_api(start, mock):
    proxy = start()
    answer = client(proxy).responses.create(model="mock-model", input="Hi", max_output_tokens=5)
    assert answer.output_text == "Hello from the mock provider"
    with client(proxy).responses.stream(model="mock-model", input="Hi", max_output_tokens=5) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert stream.get_final_response().output_text == "".join(deltas) == answer.output_text
    assert len(deltas) == 5
    assert [seen["key"] for seen in mock.seen()] == proxy.keys[:2]


def test_azures_client_sends_its_key_in_a_header_of_its_own(start, mock):
    proxy = start()
    azure = openai.AzureOpenAI(azure_endpoint=proxy.url, api_key=TOKEN, api_version="2026-01-01")
    assert chat(azure).choices[0].message.content
    seen = mock.only()
    assert seen["target"] == "/openai/deployments/mock-model/chat/completions?api-version=2026-01-01"
    assert (seen["key"], seen["place"]) == (proxy.keys[0], "api-key")
    assert TOKEN not in str(seen)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
    ],
)
def test_the_requests_own_fault_is_told_at_once_and_blames_no_key(start, mock, status, error):
    proxy = start()
    with pytest.raises(error) as raised:
        chat(client(proxy), extra_body=playing(f"fails {status}"))
    assert raised.value.response.headers.get("content-type", "").startswith("application/json")
    assert mock.only()["status"] == status
    assert proxy.ended(1)["failures"]["request_fault"] == 1
    assert proxy.blacklist() == []


def test_a_wrong_token_never_gets_past_us(start, mock):
    proxy = start()
    with pytest.raises(openai.AuthenticationError) as raised:
        chat(openai.OpenAI(base_url=proxy.v1, api_key="sk-somebody-elses"))
    assert raised.value.code == "invalid_auth_token"
    assert "somebody" not in str(raised.value)
    assert mock.seen() == []
    assert proxy.ended(1)["failures"]["unauthorized"] == 1


def test_a_revoked_key_is_healed_invisibly(start, mock):
    proxy = start()
    mock.play(proxy.keys[1], "revoked")
    answers = [chat(client(proxy, max_retries=0)) for _ in range(6)]
    assert len(answers) == 6
    assert Counter(mock.keys())[proxy.keys[1]] == 1
    assert len(mock.seen()) == 7
    (entry,) = proxy.blacklist()
    assert (entry["index"], entry["permanent"], entry["recovers_at"]) == (1, True, None)
    assert proxy.keys[1] not in str(entry)
    stats = proxy.ended(6)
    assert (stats["success_count"], stats["healed"], stats["attempts"]) == (6, 1, 7)


def test_a_key_out_of_quota_is_healed_invisibly_in_a_stream(start, mock):
    proxy = start(keys=2)
    mock.play(proxy.keys[0], "out_of_quota")
    assert len(list(chat(client(proxy, max_retries=0), stream=True))) > 1
    assert mock.keys() == proxy.keys
    (entry,) = proxy.blacklist()
    assert (entry["index"], entry["permanent"]) == (0, False)
    assert entry["recovers_at"]


def test_only_rejected_keys_are_no_authentication_error(start, mock):
    proxy = start(keys=2)
    for key in proxy.keys:
        mock.play(key, "revoked")
    with pytest.raises(openai.InternalServerError) as raised:
        chat(client(proxy))
    assert raised.value.code == "keys_rejected"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert not any(key in str(raised.value) for key in proxy.keys)
    assert mock.keys() == proxy.keys
    assert proxy.ended(1)["failures"]["keys_rejected"] == 1


def test_a_spent_pool_is_told_once_and_the_sdk_does_not_hammer_it(start, mock):
    proxy = start(keys=2)
    for key in proxy.keys:
        mock.play(key, told(429, "rate_limit_exceeded", wait=600))
    with pytest.raises(openai.RateLimitError) as raised:
        chat(client(proxy, max_retries=5))
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.code == "rate_limit_exceeded"
    assert mock.keys() == proxy.keys
    assert proxy.ended(1)["failures"]["keys_limited"] == 1
    # Six SDK retries of a request that no key can take would be 18 requests on end.
    with pytest.raises((openai.RateLimitError, openai.InternalServerError)):
        chat(client(proxy, max_retries=5))
    assert proxy.ended(2)["success_count"] == 0
    assert len(mock.seen()) <= 3, "at most the one try that looks whether the pool is dead by mistake"


def test_the_sdk_waits_as_long_as_we_say_and_then_succeeds(start, mock):
    proxy = start(keys=2, MAX_KEY_WAIT="0")
    for key in proxy.keys:
        mock.play(key, told(429, "rate_limit_exceeded", wait=1, then="valid"))
    answer = chat(client(proxy, max_retries=1))
    assert answer.choices[0].message.content
    assert [seen["status"] for seen in mock.seen()] == [429, 429, 200]
    stats = proxy.ended(2)
    assert (stats["success_count"], stats["failures"]["keys_limited"]) == (1, 1)


def test_a_failing_upstream_is_retried_by_us_and_not_by_the_sdk_on_top(start, mock):
    proxy = start(keys=6)
    with pytest.raises(openai.InternalServerError) as raised:
        chat(client(proxy, max_retries=2), extra_body=playing("fails 500"))
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert [seen["status"] for seen in mock.seen()] == [500] * 4
    assert mock.keys() == proxy.keys[:4]
    assert proxy.ended(1)["failures"]["upstream_fault"] == 1
    assert proxy.blacklist() == []


def test_a_client_that_gives_up_waiting_blames_no_key(start, mock):
    proxy = start()
    with pytest.raises(openai.APITimeoutError):
        chat(client(proxy, timeout=0.3, max_retries=0), extra_body=playing("stall"))
    eventually(lambda: mock.only()["hung_up"], "the provider sees the hang-up")
    assert proxy.ended(1)["failures"]["client_gone"] == 1
    assert proxy.blacklist() == []


def test_a_silent_upstream_is_a_504_that_names_the_setting(start, mock):
    proxy = start(REQUEST_TIMEOUT="1")
    with pytest.raises(openai.InternalServerError) as raised:
        chat(client(proxy), extra_body=playing("stall"))
    assert (raised.value.status_code, raised.value.code) == (504, "upstream_timeout")
    assert "REQUEST_TIMEOUT" in str(raised.value)
    assert proxy.ended(1)["failures"]["upstream_fault"] == 1
    assert proxy.blacklist() == []


def test_an_abort_in_mid_stream_ends_the_upstream_request_and_blames_no_key(start, mock):
    proxy = start()
    stream = chat(client(proxy), stream=True, max_tokens=100_000, extra_body={"mock": {"pace": "5ms"}})
    for _ in range(4):
        next(stream)
    assert not mock.only()["hung_up"]
    stream.close()
    eventually(lambda: mock.only()["hung_up"], "the provider sees the hang-up")
    assert proxy.ended(1)["failures"]["client_gone"] == 1
    assert proxy.blacklist() == []


def closed_after(deltas):
    """The play of a stream that nothing ends but its connection, which is closed properly in its middle."""
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    delta = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
    events = [{"write": f"data: {json.dumps(delta)}\n\n"}] * deltas
    return {"raw": [{"write": head}, *events, {"wait": "50ms"}, "close"]}


def ended_after(deltas):
    """The same of a chunked one, which its upstream ends as if it were over."""
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    delta = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
    event = f"data: {json.dumps(delta)}\n\n"
    chunks = [{"write": f"{len(event):x}\r\n{event}\r\n"}] * deltas
    return {"raw": [{"write": head}, *chunks, {"wait": "50ms"}, {"write": "0\r\n\r\n"}]}


@pytest.mark.parametrize(
    "play", ["dying 3", closed_after(3), ended_after(3)], ids=["cut", "closed", "ended"]
)
def test_a_stream_that_dies_does_not_look_whole(start, mock, play):
    proxy = start()
    got = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in chat(client(proxy), stream=True, max_tokens=50, extra_body=playing(play)):
            got.append(chunk)
    assert len(got) == 3, raised.value
    assert mock.only()["status"] in (200, None), "a raw answer's status is not looked at"
    assert proxy.ended(1)["failures"]["broken_answer"] == 1
    assert proxy.blacklist() == []


def test_a_response_that_dies_does_not_look_whole(start, mock):
    proxy = start()
    responses = client(proxy).responses
    ask = {"model": "mock-model", "input": "Hi", "max_output_tokens": 50, "extra_body": playing("dying 6")}
    got = []
    with pytest.raises(openai.APIError) as raised:
        for event in responses.create(**ask, stream=True):
            got.append(event.type)
    assert got[-1] == "response.output_text.delta", raised.value
    assert "response.completed" not in got
    with pytest.raises(openai.APIError), responses.stream(**ask) as stream:
        stream.get_final_response()
    assert proxy.ended(2)["failures"]["broken_answer"] == 2
    assert proxy.blacklist() == []
