"""Clouds that lie: a frame that is malformed, out of place or untrue is an error, and its words are shown plainly."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest

from clouds import ENCODER, HIDDEN, asked, request
from edge_agent.transport.answers import Done, Usage, tokens_frame
from edge_agent.transport.client import CloudClient
from edge_agent.transport.frames import Frame, FrameType, encode_frame
from edge_agent.transport.messages import Welcome, error_frame
from edge_agent.types import TokenEvent
from failing import failure, token_events
from scripted import WELCOME, scripted_cloud


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
