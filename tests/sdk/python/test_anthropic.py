"""The official anthropic SDK through gpt-load: what it got, and what the provider saw."""

import asyncio

import anthropic
import pytest
from conftest import TOKEN, eventually

HELLO = {"model": "mock-model", "messages": [{"role": "user", "content": "Hi"}]}


def client(proxy, **options):
    return anthropic.Anthropic(base_url=proxy.url, api_key=TOKEN, **options)


def older_client(proxy):
    """Older SDKs, and most programs that use none, send the key so."""
    return anthropic.Anthropic(base_url=proxy.url, default_headers={"x-api-key": TOKEN})


CLIENTS = pytest.mark.parametrize(("client", "place"), [(client, "authorization"), (older_client, "x-api-key")])


@CLIENTS
def test_a_message(start, mock, client, place):
    proxy = start()
    answer = client(proxy).messages.create(**HELLO, max_tokens=5)
    assert answer.content[0].text == "Hello from the mock provider"
    assert answer.usage.output_tokens == 5
    seen = mock.only()
    assert (seen["target"], seen["key"], seen["place"]) == ("/v1/messages", proxy.keys[0], place)
    assert TOKEN not in str(seen)


@CLIENTS
def test_a_stream(start, mock, client, place):
    proxy = start()
    with client(proxy).messages.stream(**HELLO, max_tokens=5) as stream:
        assert "".join(stream.text_stream) == "Hello from the mock provider"
        assert stream.get_final_message().stop_reason == "end_turn"
    assert mock.only()["finished"]
    assert mock.only()["place"] == place


def test_async_streams_side_by_side(start, mock):
    proxy = start(keys=5)

    async def one(client):
        async with client.messages.stream(**HELLO, max_tokens=5) as stream:
            return await stream.get_final_text()

    async def all_of_them():
        async with anthropic.AsyncAnthropic(base_url=proxy.url, api_key=TOKEN) as client:
            return await asyncio.gather(*(one(client) for _ in range(10)))

    assert asyncio.run(all_of_them()) == ["Hello from the mock provider"] * 10
    assert sorted(mock.keys()) == sorted(proxy.keys * 2)


def test_a_count_of_tokens(start, mock):
    proxy = start()
    assert client(proxy).messages.count_tokens(**HELLO).input_tokens == 9
    assert mock.only()["target"] == "/v1/messages/count_tokens"


@pytest.mark.parametrize("play", ["revoked", "out_of_quota", "fails 429"])
def test_a_bad_key_is_healed_invisibly(start, mock, play):
    proxy = start(keys=2)
    mock.play(proxy.keys[0], play)
    assert client(proxy, max_retries=0).messages.create(**HELLO, max_tokens=5).content
    assert mock.keys() == proxy.keys
    (entry,) = proxy.blacklist()
    assert (entry["index"], entry["permanent"]) == (0, play == "revoked")


def test_the_requests_own_fault(start, mock):
    proxy = start()
    with pytest.raises(anthropic.BadRequestError):
        client(proxy).messages.create(**HELLO, max_tokens=5, extra_body={"mock": {"play": "fails 400"}})
    assert mock.only()["status"] == 400
    assert proxy.blacklist() == []


def test_a_wrong_token_never_gets_past_us(start, mock):
    proxy = start()
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=proxy.url, api_key="wrong").messages.create(**HELLO, max_tokens=5)
    assert mock.seen() == []


def test_an_overload_is_not_multiplied_by_the_sdk(start, mock):
    proxy = start(keys=6)
    with pytest.raises(anthropic.APIStatusError) as raised:
        client(proxy).messages.create(**HELLO, max_tokens=5, extra_body={"mock": {"play": "fails 529"}})
    assert raised.value.status_code == 529
    assert [seen["status"] for seen in mock.seen()] == [529] * 4
    assert proxy.ended(1)["failures"]["upstream_fault"] == 1
    assert proxy.blacklist() == []


def test_an_abort_in_mid_stream(start, mock):
    proxy = start()
    extra = {"mock": {"pace": "5ms"}}
    with client(proxy).messages.stream(**HELLO, max_tokens=100_000, extra_body=extra) as stream:
        next(iter(stream.text_stream))
    eventually(lambda: mock.only()["hung_up"], "the provider sees the hang-up")
    assert proxy.ended(1)["failures"]["client_gone"] == 1
    assert proxy.blacklist() == []


def test_a_stream_that_dies_does_not_look_whole(start, mock):
    proxy = start()
    ask = {**HELLO, "max_tokens": 50, "extra_body": {"mock": {"play": "dying 6"}}}
    got = []
    with pytest.raises(anthropic.APIError) as raised:
        for event in client(proxy).messages.create(**ask, stream=True):
            got.append(event.type)
    assert got[-1] == "content_block_delta", raised.value
    with pytest.raises(anthropic.APIError), client(proxy).messages.stream(**ask) as stream:
        stream.get_final_message()
    assert proxy.ended(2)["failures"]["broken_answer"] == 2
    assert proxy.blacklist() == []
