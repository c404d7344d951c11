"""Pieces of tensors on their way in: not read as frames one by one, in any order of turns, and let go."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest

import cloud_stub.session
from clouds import ENCODER, HIDDEN, FakeBackend, opening, raw_client, running_cloud, until
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.codecs import EncodedTensor, find_codec
from edge_agent.transport.features import CLIENT
from edge_agent.transport.frames import Frame, FrameType
from edge_agent.transport.messages import Hello, TensorBegin, uuid7
from edge_agent.types import Embeddings

PIECE = 1024


def made(seed: int, tokens: int = 2048) -> EncodedTensor:
    data = np.random.default_rng(seed).normal(size=(tokens, HIDDEN)).astype(np.float32)
    return find_codec("raw-f32").encode(Embeddings(data, ENCODER))


def pieces(one: EncodedTensor) -> list[Frame]:
    """BEGIN, 64 CHUNKs, END."""
    chunks = [one.payload[at : at + PIECE] for at in range(0, len(one.payload), PIECE)]
    middle = [Frame(FrameType.TENSOR_CHUNK, payload=chunk) for chunk in chunks]
    return [TensorBegin.frame_of(one, one.tensor_id()), *middle, Frame(FrameType.TENSOR_END)]


def asked_for(one: EncodedTensor, stream: int) -> Frame:
    return opening([one], turn_id=uuid7(stream)).to_frame()


def test_pieces_are_not_read_as_frames_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    decode = cloud_stub.session.decode_frame

    def counting(data: bytes) -> Frame:
        frame = decode(data)
        read.append(frame.type)
        return frame

    monkeypatch.setattr(cloud_stub.session, "decode_frame", counting)

    async def main() -> tuple[int, bytes]:
        backend = FakeBackend()
        async with running_cloud(backend) as cloud, raw_client(cloud.url) as client:
            for frame in (asked_for(made(1), 1), *pieces(made(1))):
                await client.send(frame)
            return (await client.until_end())[-1].type, backend.prompts[0].embeddings[0].data.tobytes()

    kind, seen = asyncio.run(main())
    assert (kind, seen) == (FrameType.DONE, made(1).payload)
    assert read == [FrameType.TURN, FrameType.TENSOR_BEGIN, FrameType.TENSOR_END]


@pytest.mark.parametrize("features", [(), CLIENT], ids=["plain", "all features"])
def test_two_turns_may_send_their_pieces_in_turn(features: tuple[str, ...]) -> None:
    async def main() -> list[bytes]:
        backend = FakeBackend()
        async with running_cloud(backend) as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(Hello(features=features).to_frame(), 0)
            client.numbering.session = (await client.read()).session
            for stream in (1, 2):
                await client.send(asked_for(made(stream), stream), stream)
            for both in zip(pieces(made(1)), pieces(made(2)), strict=True):
                for stream, frame in zip((1, 2), both, strict=True):
                    await client.send(frame, stream)
            ended = 0
            while ended < 2:
                frame = await client.read()
                assert frame.type != FrameType.ERROR, frame
                ended += frame.type == FrameType.DONE
            await until(lambda: cloud.desk.uploads.held == 0)
            return sorted(one.embeddings[0].data.tobytes() for one in backend.prompts)

    assert asyncio.run(main()) == sorted(made(stream).payload for stream in (1, 2))


def test_turns_that_were_cancelled_hold_no_bytes_until_python_collects_them() -> None:
    def holding() -> int:
        return sum(type(one) is TensorAssembly and bool(one._done or one._filling) for one in gc.get_objects())

    async def main() -> int:
        async with running_cloud(FakeBackend()) as cloud, raw_client(cloud.url) as client:
            for stream in range(1, 9):
                one = made(stream)
                turn = opening(tensor_ids=(one.tensor_id(), "0" * 64), turn_id=uuid7(stream)).to_frame()
                for frame in (turn, *pieces(one), Frame(FrameType.CANCEL)):
                    await client.send(frame, stream)
                assert (await client.until_end(stream))[-1].meta["code"] == "cancelled"
            return holding()

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main()) == 0
    finally:
        gc.enable()


def test_what_an_old_connection_still_sends_does_not_get_into_the_resumed_session() -> None:
    one = made(5)
    frames = [asked_for(one, 1), *pieces(one)]

    async def main() -> tuple[int, bytes]:
        backend = FakeBackend()
        async with running_cloud(backend) as cloud, raw_client(cloud.url, greet=False) as old:
            await old.send(Hello(features=CLIENT).to_frame(), 0)
            welcome = await old.read()
            old.numbering.session = welcome.session
            for frame in frames[:30]:
                await old.send(frame)
            async with raw_client(cloud.url, greet=False) as new:
                new.numbering.session = welcome.session
                token = welcome.meta["resume_token"]
                await new.send(Frame(FrameType.RESUME, {"resume_token": token, "streams": [[1, 0]]}), 0)
                for frame in frames[30:40]:
                    await old.send(frame)
                resumed = await new.read()
                (_, received), *_ = resumed.meta["streams"]
                for count, frame in enumerate(frames):
                    if count < received:
                        new.numbering.stamp(frame, 1)
                    else:
                        await new.send(frame)
                return (await new.until_end())[-1].type, backend.prompts[0].embeddings[0].data.tobytes()

    assert asyncio.run(main()) == (FrameType.DONE, one.payload)
