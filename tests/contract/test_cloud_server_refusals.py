"""What the cloud refuses, frame by frame: the turn or the session ends with a reason, before memory is taken."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib

import pytest

from clouds import HIDDEN, opening, raw_client, running_cloud, tensor
from edge_agent.transport.frames import (
    Frame,
    FrameType,
    canonical_json,
    encode_frame,
)
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening
from talking import talk


async def session_error(client) -> tuple[str, int | None]:
    """The code of the ERROR on stream 0, and what the socket was closed with."""
    frame = await client.read()
    while frame.stream != 0:
        frame = await client.read()
    assert frame.type == FrameType.ERROR
    return frame.meta["code"], await client.closed_with()


def changed(opening: TurnOpening, **meta: object) -> Frame:
    frame = opening.to_frame()
    return dataclasses.replace(frame, meta={**frame.meta, **meta})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"encoder_id": "other"}, "unknown_encoder"),
        ({"codec": "jpeg"}, "unknown_codec"),
        ({"shape": [4, 16]}, "bad_tensor"),
        ({"shape": [4]}, "bad_tensor"),
        ({"shape": [5, HIDDEN]}, "bad_tensor"),
        ({"modality": "smell"}, "bad_tensor"),
        ({"dtype": "float32"}, "bad_tensor"),
        ({"config": {"level": 3}}, "bad_tensor"),
    ],
)
def test_a_tensor_that_does_not_fit_closes_the_session_and_no_other(change, code):
    async def script(client, cloud):
        one = tensor()
        described = one.description() | change
        name = hashlib.sha256(canonical_json(described) + b"\n" + one.payload).hexdigest()
        begin = Frame(FrameType.TENSOR_BEGIN, described | {"tensor_id": name, "bytes": len(one.payload)})
        await client.send(opening(tensor_ids=(name,)).to_frame())
        await client.send(begin)
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload))
        await client.send(Frame(FrameType.TENSOR_END))
        async with raw_client(cloud.url, device="innocent") as other:
            ended = await session_error(client)
            await other.ask(opening())
            return ended, (await other.until_end())[-1].type, cloud.desk.uploads.held

    assert talk(script) == ((code, 1002), FrameType.DONE, 0)


def test_a_tensor_with_another_content_than_its_name_is_refused():
    async def script(client, cloud):
        one, two = tensor(seed=1), tensor(seed=2)
        assert len(one.payload) == len(two.payload)
        await client.send(opening([one]).to_frame())
        await client.send(TensorBegin.frame_of(one, one.tensor_id()))
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=two.payload))
        await client.send(Frame(FrameType.TENSOR_END))
        return await session_error(client), len(cloud.desk.backend.prompts), cloud.desk.billed_microusd

    assert talk(script) == (("bad_tensor", 1002), 0, 0)


@pytest.mark.parametrize(
    ("frames", "code", "close"),
    [
        ([Frame(FrameType.TENSOR_CHUNK, payload=b"x")], "protocol", 1002),
        ([opening([tensor()]).to_frame(), Frame(FrameType.TENSOR_END)], "protocol", 1002),
        ([opening([tensor()]).to_frame(), Frame(FrameType.TURN)], "protocol", 1002),
        ([changed(opening(), turn_id="1")], "protocol", 1002),
        ([changed(opening(), budget={"deadline_ms": 0, "max_tokens": 1})], "protocol", 1002),
        ([changed(opening(), budget={"deadline_ms": 1000, "max_tokens": 10**6})], "protocol", 1002),
        ([changed(opening(), tensors=["../../etc/passwd"])], "protocol", 1002),
        ([changed(opening(), tensors=[f"{i:064x}" for i in range(9)])], "too_large", 1002),
        ([Frame(FrameType.TURN, opening().to_frame().meta, b"[]")], "protocol", 1002),
        ([Frame(FrameType.TURN, opening().to_frame().meta, b"x" * 20_000)], "too_large", 1002),
        ([Frame(FrameType.WELCOME)], "protocol", 1002),
        ([Frame(FrameType.RESUME)], "protocol", 1002),
        ([Frame(FrameType.DRAFT)], "protocol", 1002),
        ([Frame(0x7F)], "protocol", 1002),
        ([Frame(FrameType.HELLO)], "protocol", 1002),
    ],
)
def test_frames_out_of_place_close_the_session_with_a_reason(frames, code, close):
    async def script(client, cloud):
        for frame in frames:
            await client.send(frame)
        return await session_error(client)

    assert talk(script) == (code, close)


def bomb(**changes: object) -> Frame:
    one = tensor()
    begin = TensorBegin.frame_of(one, one.tensor_id())
    return dataclasses.replace(begin, meta={**begin.meta, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2**31 - 1, HIDDEN]},
        {"shape": [0, HIDDEN]},
        {"shape": [4096, 8192]},
        {"bytes": 5 * 2**20},
        {"config": {"a": "x" * 2000}},
    ],
)
def test_a_declared_size_over_the_limits_closes_the_session_before_a_chunk_is_taken(change):
    async def script(client, cloud):
        await client.send(opening([tensor()]).to_frame())
        await client.send(bomb(**change))
        return await session_error(client)

    code, close = talk(script)
    assert code in ("too_large", "protocol")
    assert close == 1002


def test_a_tensor_longer_than_declared_is_refused():
    async def script(client, cloud):
        one = tensor()
        await client.send(opening([one]).to_frame())
        await client.send(TensorBegin.frame_of(one, one.tensor_id()))
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload + b"x"))
        return await session_error(client)

    assert talk(script) == ("bad_tensor", 1002)


def test_a_chunk_over_64_kib_closes_the_session():
    async def script(client, cloud):
        one = tensor()
        await client.send(opening([one]).to_frame())
        await client.send(bomb(bytes=100_000))
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=b"x" * 65_537))
        return (await session_error(client))[0]

    assert talk(script) == "too_large"


def test_an_unknown_frame_with_the_optional_flag_is_skipped():
    async def script(client, cloud):
        await client.send(Frame(0x7F, flags=0x80))
        await client.send(Frame(0x7E, flags=0x80), 0)
        await client.ask(opening())
        return (await client.until_end())[-1].type

    assert talk(script) == FrameType.DONE


def test_text_messages_close_the_session_with_1003():
    async def script(client, cloud):
        await client.socket.send_str("hello")
        return await session_error(client)

    assert talk(script) == ("protocol", 1003)


def test_a_message_over_the_frame_limit_closes_the_session_with_1009():
    async def script(client, cloud):
        await client.socket.send_bytes(b"EAP1" + b"\x00" * 300_000)
        return await client.closed_with()

    assert talk(script) == 1009


def test_a_frame_with_a_wrong_number_closes_the_session():
    async def script(client, cloud):
        frame = dataclasses.replace(opening().to_frame(), session=client.numbering.session, stream=1, seq=3)
        await client.socket.send_bytes(encode_frame(frame))
        return await session_error(client)

    assert talk(script) == ("protocol", 1002)


def test_a_frame_of_another_session_closes_this_one():
    async def script(client, cloud):
        client.numbering.session ^= 1 << 40
        await client.send(opening().to_frame())
        return await session_error(client)

    assert talk(script) == ("protocol", 1002)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (Hello(versions=(2, 3)).to_frame(), "version"),
        (opening().to_frame(), "protocol"),
        (Frame(FrameType.BYE), "protocol"),
    ],
)
def test_a_session_begins_with_hello_in_a_known_version(hello, code):
    async def main():
        async with running_cloud() as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(hello, 0)
            return (await session_error(client))[0]

    assert asyncio.run(main()) == code
