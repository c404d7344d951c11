"""Clouds that are away, lie, stall or flood: one typed error, the connection closed, in bounded time and memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import struct
import time
import tracemalloc

import pytest

from clouds import ENCODER, HIDDEN, WELCOME, asked, raw_server, request, running_cloud, scripted_cloud, until
from edge_agent.errors import CloudError, UsageError
from edge_agent.transport.answers import Done, Usage, tokens_frame
from edge_agent.transport.client import CloudClient
from edge_agent.transport.dialing import CLOSE_S
from edge_agent.transport.frames import Frame, FrameType, encode_frame
from edge_agent.transport.messages import Welcome, error_frame
from edge_agent.types import TokenEvent

DEADLINE_MS = 1500
LATE_S = 0.25
"""How much later than asked something may be on a busy machine: less than a farewell to a silent cloud would take."""


def failure(serving, *, deadline_ms: int = DEADLINE_MS, token: str | None = None, turn=None) -> CloudError:
    """The error of one turn against `serving` (a context manager of a URL). Here are checked: the time it took, the
    time that closing takes, and that nothing is left behind.
    """

    async def main():
        async with serving as url:
            client, started_s = CloudClient(url, token), time.monotonic()
            with pytest.raises(CloudError) as caught:
                await asked(client, turn or request(deadline_ms=deadline_ms))
            failed_s = time.monotonic()
            assert failed_s - started_s < deadline_ms / 1000 + LATE_S
            assert client._idle is None
            await client.close()
            assert time.monotonic() - failed_s < CLOSE_S + LATE_S
            assert tasks_of_connections() == []
            return caught.value

    return asyncio.run(main())


def tasks_of_connections() -> list[str]:
    names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("Connection")]


def token_events(count: int, first: int = 0) -> list[TokenEvent]:
    return [TokenEvent(first + i, f"w{i} ", 0.5, 0.25) for i in range(count)]


def test_nobody_listening_is_unreachable():
    async def main():
        async with CloudClient("http://127.0.0.1:9") as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request(deadline_ms=DEADLINE_MS))
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.retryable, error.bytes_up, error.asked) == ("unreachable", True, 0, False)
    assert "python -m cloud_stub" in str(error)


def test_a_port_that_accepts_and_says_nothing_is_unreachable():
    async def silent(reader, writer):
        await asyncio.sleep(60)

    async def main():
        async with raw_server(silent) as url, CloudClient(url, connect_timeout_s=0.2) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request())
            return caught.value.code

    assert asyncio.run(main()) == "unreachable"


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\x13\x37" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["noise", "ssh", "http-200", "http-404", "wrong-accept", "redirect"],
)
def test_something_else_on_the_port_is_a_protocol_error(answer):
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(60)

    error = failure(raw_server(other))
    assert (error.code, error.retryable) == ("protocol", False)


def test_an_http_server_that_hangs_up_is_unreachable():
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")

    assert failure(raw_server(other)).code == "unreachable"


def test_endless_http_headers_end_in_an_error_with_bounded_memory():
    async def endless(reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        for number in range(4000):
            writer.write(b"X-%d: " % number + b"a" * 4000 + b"\r\n")
            await writer.drain()
        await asyncio.sleep(60)

    tracemalloc.start()
    try:
        error = failure(raw_server(endless))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code in ("protocol", "unreachable", "timeout")
    assert peak < 64 * 2**20


def test_a_wrong_token_is_an_auth_error_and_never_retried():
    async def main():
        async with running_cloud(token="right") as cloud, CloudClient(cloud.url, "wrong") as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request())
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.retryable) == ("auth", False)
    assert "EDGE_AGENT_CLOUD_TOKEN" in str(error)
    assert "wrong" not in str(error)


def test_the_right_token_is_let_in():
    async def main():
        async with running_cloud(token="right") as cloud, CloudClient(cloud.url, "right") as client:
            return await asked(client, request())

    assert asyncio.run(main())[0] == "w0 w1 w2"


async def after_question(peer, *frames):
    await peer.welcome()
    await peer.question()
    for frame in frames:
        await peer.send(frame)
    await peer.read()


def good(kind: int = FrameType.USAGE, **changes) -> bytes:
    values = {"session": 7, "stream": 1, "seq": 0} | changes
    return encode_frame(Frame(kind, Usage(1, 1, 0).to_frame().meta, **values))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"EAP1",
        b"\x00" * 100,
        b"EAP2" + good()[4:],
        good()[:-1],
        good() + b"x",
        good()[:-1] + b"!",
        good(session=8),
        good(stream=2),
        good(seq=1),
        good(0x7F),
        good(FrameType.TURN),
        good(FrameType.CREDIT),
    ],
    ids=[
        *("empty", "short", "zeros", "magic", "cut", "long", "crc", "session", "stream", "gap", "unknown type"),
        *("a type that goes up", "a reserved type"),
    ],
)
def test_a_malformed_frame_is_a_protocol_error(data):
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.raw(data)
        await peer.read()

    error = failure(scripted_cloud(script))
    assert (error.code, error.retryable) == ("protocol", False)


def with_crc(head: bytes, body: bytes) -> bytes:
    import zlib

    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


@pytest.mark.parametrize(
    "meta",
    [
        b"\xff\xfe",
        b"[1]",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 400 + b"}",
        b"[" * 4000,
        b'{"a":"\\ud800"}',
    ],
    ids=["utf-8", "array", "twice", "nan", "infinite", "huge", "deep", "surrogate"],
)
def test_garbage_with_a_right_checksum_is_a_protocol_error(meta):
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.raw(with_crc(struct.pack("<4sBBHQIIII", b"EAP1", 0x20, 0, 1, 7, 1, 0, len(meta), 0), meta))
        await peer.read()

    assert failure(scripted_cloud(script)).code == "protocol"


@pytest.mark.parametrize(
    "frames",
    [
        [tokens_frame(1, token_events(1))],
        [tokens_frame(0, token_events(1)), tokens_frame(0, token_events(1))],
        [tokens_frame(0, token_events(17))],
        [Usage(1, 0, 0).to_frame(), tokens_frame(0, token_events(1))],
        [Done(0, "stop", 0.5, 0.5).to_frame()],
        [tokens_frame(0, token_events(1)), Usage(1, 1, 0).to_frame(), Done(2, "stop", 0.5, 0.5).to_frame()],
        [Frame(FrameType.DONE, {"tokens": 0, "confidence": 2.0, "max_entropy": 0.5})],
        [Frame(FrameType.USAGE, {"prompt_tokens": -1, "completion_tokens": 0, "cost_microusd": 0})],
        [Frame(FrameType.TOKENS, {"first": 0, "n": 1}, b"\x00" * 13)],
        [Frame(FrameType.TOKENS, {"first": 0, "n": 1}, struct.pack("<IffH", 1, 0.5, 0.5, 1) + b"\xff")],
        [Frame(FrameType.TOKENS, {"first": 0, "n": 1}, struct.pack("<IffH", 1, float("nan"), 0.5, 0))],
        [Frame(FrameType.TOKENS, {"first": 0, "n": 1}, struct.pack("<IffH", 1, 0.5, 0.5, 0) + b"x")],
    ],
    ids=[
        *("gap", "repeat", "too many", "after usage", "no usage", "miscounted", "confidence", "negative", "cut"),
        *("not utf-8", "nan", "left over"),
    ],
)
def test_a_well_formed_frame_that_lies_is_a_protocol_error(frames):
    assert failure(scripted_cloud(lambda peer: after_question(peer, *frames))).code == "protocol"


def test_tokens_after_done_do_not_reach_the_next_turn():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.answer()
        await peer.send(tokens_frame(2, token_events(1)))
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            texts = []
            for _ in range(2):
                texts.append((await asked(client, request()))[0])
                await asyncio.sleep(0.05)
            return texts, client.connects

    assert asyncio.run(main()) == (["w0 w1"] * 2, 2)


@pytest.mark.parametrize(
    "welcome",
    [
        Frame(FrameType.DONE),
        Frame(FrameType.WELCOME),
        Frame(FrameType.WELCOME, Welcome(2, "m", (), (ENCODER,), HIDDEN).to_frame().meta),
        Frame(FrameType.WELCOME, {**WELCOME.to_frame().meta, "limits": {"chunk_bytes": 0}}),
        Frame(FrameType.WELCOME, {**WELCOME.to_frame().meta, "hidden_size": 10**9}),
        Frame(FrameType.WELCOME, {**WELCOME.to_frame().meta, "encoder_ids": "all"}),
    ],
    ids=["other type", "empty", "version", "limit 0", "hidden", "not a list"],
)
def test_a_bad_welcome_is_a_protocol_error(welcome):
    async def script(peer):
        await peer.read()
        peer.numbering.session = 7
        await peer.send(welcome, 0)
        await peer.read()

    assert failure(scripted_cloud(script)).code == "protocol"


def test_text_messages_are_a_protocol_error():
    async def script(peer):
        await peer.welcome()
        await peer.socket.send_str("hello")
        await peer.read()

    assert failure(scripted_cloud(script)).code == "protocol"


@pytest.mark.parametrize("moment", ["before hello", "after hello", "after welcome", "in the upload", "in the answer"])
@pytest.mark.parametrize("abort", [False, True], ids=["close", "reset"])
def test_a_connection_cut_at_any_moment_is_a_closed_error(moment, abort):
    async def script(peer):
        steps = {"before hello": 0, "after hello": 1, "after welcome": 2, "in the upload": 3, "in the answer": 4}[
            moment
        ]
        if steps == 1:
            await peer.read()
        if steps >= 2:
            await peer.welcome()
        if steps == 3:
            await peer.read()
        if steps == 4:
            await peer.question()
            await peer.send(tokens_frame(0, token_events(1)))
        if abort:
            peer.request.transport.abort()
        else:
            await peer.socket.close()

    error = failure(scripted_cloud(script))
    assert (error.code, error.retryable) == ("closed", True)


def stalling(moment: str):
    """A cloud that does nothing more after `moment`, not even read or close."""

    async def script(peer):
        if moment != "hello":
            await peer.welcome()
        if moment == "turn":
            await peer.read()
        if moment in ("question", "tokens"):
            await peer.question()
        if moment == "tokens":
            await peer.send(tokens_frame(0, token_events(1)))
        await asyncio.sleep(60)

    return scripted_cloud(script)


@pytest.mark.parametrize("moment", ["hello", "welcome", "turn", "question", "tokens"])
def test_a_cloud_that_stalls_ends_in_a_timeout_by_the_deadline(moment):
    error = failure(stalling(moment), deadline_ms=500)
    assert (error.code, error.retryable) == ("timeout", True)
    assert error.asked == (moment != "hello")
    assert error.bytes_up > (400 if error.asked else 30)
    assert (error.bytes_down > 0) == (moment != "hello")


def test_a_cloud_that_reads_nothing_ends_in_a_timeout():
    import numpy as np

    from edge_agent.transport.codecs import find_codec
    from edge_agent.types import Embeddings

    wide = find_codec("raw-f32").encode(Embeddings(np.ones((500, 2000), dtype=np.float32), ENCODER))

    async def script(peer):
        await peer.welcome(Welcome(1, "m", ("raw-f32",), (ENCODER,), 2000))
        peer.request.transport.pause_reading()
        await asyncio.sleep(60)

    error = failure(scripted_cloud(script), deadline_ms=400, turn=request(tensors=(wide,), deadline_ms=400))
    assert (error.code, error.asked) == ("timeout", True)


@pytest.mark.parametrize("moment", ["hello", "question", "tokens"])
def test_who_cancels_a_turn_does_not_wait_for_a_cloud_that_stalls(moment):
    async def main():
        async with stalling(moment) as url:
            client = CloudClient(url)
            turn = asyncio.create_task(asked(client, request()))
            await until(lambda: client.connects)
            await asyncio.sleep(0.1)  # WELCOME, TURN and the first token pass
            started_s = time.monotonic()
            turn.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await turn
            assert turn.cancelled()
            assert time.monotonic() - started_s < LATE_S
            await client.close()
            assert time.monotonic() - started_s < CLOSE_S + 2 * LATE_S
            assert tasks_of_connections() == []

    asyncio.run(main())


def test_who_leaves_an_answer_early_does_not_wait_for_a_cloud_that_stalls():
    async def main():
        async with stalling("tokens") as url, CloudClient(url) as client:
            async with contextlib.aclosing(client.turn(request())) as items:
                await anext(items)
                started_s = time.monotonic()
            assert time.monotonic() - started_s < LATE_S

    asyncio.run(main())


def test_a_second_turn_need_not_wait_until_the_first_connection_is_gone():
    async def script(peer):
        await peer.welcome()
        opening = await peer.question()
        if opening.meta["budget"]["max_tokens"] == 1:
            await asyncio.sleep(60)
        await peer.answer()
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            with pytest.raises(CloudError):
                await asked(client, request(deadline_ms=200, max_tokens=1))
            started_s = time.monotonic()
            text, _ = await asked(client, request())
            return text, time.monotonic() - started_s

    text, took_s = asyncio.run(main())
    assert text == "w0 w1"
    assert took_s < LATE_S


async def upgrade_by_hand(reader, writer) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split()[1]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: eap.v1\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def traced_failure(serving) -> tuple[CloudError, int]:
    tracemalloc.start()
    try:
        error = failure(serving)
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_message_of_a_gigabyte_is_refused_by_its_header():
    sent = [0]

    async def flood(reader, writer):
        await upgrade_by_hand(reader, writer)
        writer.write(b"\x82\x7f" + struct.pack(">Q", 2**30))
        block = b"\x00" * 2**16
        for _ in range(2**14):
            writer.write(block)
            await writer.drain()
            sent[0] += len(block)

    error, peak = traced_failure(raw_server(flood))
    assert (error.code, error.retryable) == ("too_large", False)
    assert peak < 32 * 2**20
    assert sent[0] < 2**28


def test_a_gigabyte_in_small_frames_is_refused_at_the_limit():
    sent = [0]

    async def script(peer):
        await peer.welcome()
        await peer.question()
        while True:
            await peer.send(Frame(FrameType.USAGE, Usage(1, 1, 0).to_frame().meta, b"\x00" * 60_000))
            sent[0] += 60_000

    error, peak = traced_failure(scripted_cloud(script))
    assert (error.code, error.retryable) == ("too_large", False)
    assert peak < 32 * 2**20
    assert sent[0] < 2**28


def test_a_flood_of_session_frames_is_refused_too():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        while True:
            await peer.send(Frame(FrameType.GOAWAY, payload=b"\x00" * 60_000), 0)

    assert failure(scripted_cloud(script)).code == "too_large"


def test_random_bytes_after_the_upgrade_are_a_typed_error():
    async def noise(reader, writer):
        await upgrade_by_hand(reader, writer)
        writer.write(hashlib.sha512(b"noise").digest() * 100)
        await writer.drain()
        await asyncio.sleep(60)

    assert failure(raw_server(noise)).code in ("protocol", "closed", "too_large")


def test_an_error_frame_reaches_the_caller_with_code_and_retryable():
    frame = error_frame("overloaded", "come\x1b[31m back", retry_after_ms=1500)
    error = failure(scripted_cloud(lambda peer: after_question(peer, frame)))
    assert (error.code, error.retryable) == ("overloaded", True)
    assert "1.5 s" in str(error)
    assert "\x1b" not in str(error)


def test_an_answer_cannot_command_the_terminal_that_shows_it():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(tokens_frame(0, [TokenEvent(0, "a \x1b[2Jred\x9b0m\ncat\x07", 0.5, 0.25)]))
        await peer.send(Usage(9, 1, 0).to_frame())
        await peer.send(Done(1, "stop", 0.5, 0.25).to_frame())
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return (await asked(client, request()))[0]

    assert asyncio.run(main()) == "a [2Jred0m cat"


def test_a_session_error_in_answer_to_hello_reaches_the_caller():
    async def script(peer):
        await peer.read()
        await peer.send(error_frame("version", "no"), 0)

    assert failure(scripted_cloud(script)).code == "version"


def test_bye_in_the_middle_of_an_answer_is_a_closed_error():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(Frame(FrameType.BYE), 0)
        await peer.read()

    assert failure(scripted_cloud(script)).code == "closed"


def test_a_connection_that_announced_its_end_is_not_used_again():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(Frame(FrameType.GOAWAY, {"drain_s": 30}), 0)
        await peer.answer()
        await peer.question()
        await peer.answer(stream=2)

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return [(await asked(client, request()))[0] for _ in range(2)], client.connects

    assert asyncio.run(main()) == (["w0 w1"] * 2, 2)


def test_an_idle_connection_that_closes_on_the_next_question_is_replaced_once():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.answer()
        await peer.question()
        await peer.socket.close()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return [(await asked(client, request()))[0] for _ in range(2)], client.connects

    assert asyncio.run(main()) == (["w0 w1"] * 2, 2)


def test_connections_that_were_given_up_are_gone_soon_without_a_close():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.raw(b"garbage")
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            for _ in range(3):
                with pytest.raises(CloudError):
                    await asked(client, request())
            await until(lambda: not tasks_of_connections() and not client._leaving)

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8787",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://user:pw@x",
        "http://x/?q=1",
        "http://[::1",
        "file:///etc",
    ],
)
def test_a_bad_url_is_a_usage_error(url):
    with pytest.raises(UsageError):
        CloudClient(url)


def test_urls_get_the_path_and_scheme_of_the_protocol():
    assert CloudClient("http://h:1").url == "ws://h:1/eap/v1/ws"
    assert CloudClient("https://h/").url == "wss://h/eap/v1/ws"
    assert CloudClient("wss://h/other/ws").url == "wss://h/other/ws"


def test_a_token_never_travels_in_the_clear_to_another_machine():
    with pytest.raises(UsageError, match="unencrypted"):
        CloudClient("http://192.0.2.1:8787", "secret")
    CloudClient("https://192.0.2.1:8787", "secret")
    CloudClient("http://127.0.0.1:8787", "secret")
    CloudClient("http://192.0.2.1:8787")


def test_a_probe_tells_reachable_from_not_without_raising():
    async def wrong(reader, writer):
        writer.write(b"garbage\r\n\r\n")
        await writer.drain()

    async def silent(reader, writer):
        await asyncio.sleep(60)

    async def main():
        async with running_cloud() as cloud, raw_server(wrong) as garbage, raw_server(silent) as stuck:
            health = []
            for url in (cloud.url, garbage, stuck, "http://127.0.0.1:9"):
                async with CloudClient(url) as client:
                    health.append(await client.probe(0.3))
            return health

    alive, *dead = asyncio.run(main())
    assert alive.reachable
    assert alive.rtt_ms > 0
    assert [(one.reachable, bool(one.detail)) for one in dead] == [(False, True)] * 3
