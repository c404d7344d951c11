"""Turns that end early in the cloud: cancelled, broken or too late, each ends once and gives its place back."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from cloud_stub.link import WebSocketLink
from cloud_stub.reception import Reception
from cloud_stub.turns import TurnDesk
from clouds import FakeBackend, opening, tensor
from edge_agent.transport.frames import (
    Frame,
    FrameType,
    decode_frame,
    encode_frame,
)
from edge_agent.transport.messages import Hello, TensorBegin
from edge_agent.transport.numbering import Numbering
from talking import talk


def test_cancel_ends_the_turn_within_one_token_and_the_session_goes_on():
    backend = FakeBackend(words=1000, stop_before=2)

    async def script(client, cloud):
        await client.ask(opening(max_tokens=500))
        while (await client.read()).type != FrameType.TOKENS:
            pass
        await client.send(Frame(FrameType.CANCEL))
        ending = (await client.until_end())[-1]
        await asyncio.to_thread(backend.stopped.wait, 10)
        made = backend.made
        backend.gate.set()
        await client.ask(opening(max_tokens=1), stream=2)
        assert made <= 2
        return ending.meta["code"], (await client.until_end(2))[-1].type

    assert talk(script, backend) == ("cancelled", FrameType.DONE)


@pytest.mark.parametrize("words", [1, 2, 3])
def test_the_error_that_ends_a_cancelled_turn_carries_the_next_number(words):
    backend = FakeBackend(words=1000, stop_before=words)

    async def script(client, cloud):
        await client.ask(opening(max_tokens=500))
        frames = [await client.read()]
        while sum(frame.meta["n"] for frame in frames) < words:
            frames.append(await client.read())
        await client.send(Frame(FrameType.CANCEL))
        return frames + await client.until_end()

    frames = talk(script, backend)
    assert [frame.name for frame in frames] == ["TOKENS"] * (len(frames) - 1) + ["ERROR"]
    assert [frame.seq for frame in frames] == list(range(len(frames)))


def test_the_error_that_ends_an_upload_carries_the_next_number_on_its_stream():
    async def script(client, cloud):
        one = tensor()
        await client.send(opening([one]).to_frame())
        await client.send(TensorBegin.frame_of(one, one.tensor_id()))
        await client.send(Frame(FrameType.CANCEL))
        await client.ask(opening(), stream=2)
        return [await client.read(), *await client.until_end(2)]

    error, *others = talk(script)
    assert (error.type, error.stream, error.seq) == (FrameType.ERROR, 1, 0)
    assert [frame.seq for frame in others] == list(range(len(others)))


class SlowWire:
    """A WebSocket whose other end sends CANCEL the moment that it reads DONE, which the server is still sending."""

    def __init__(self, numbering: Numbering) -> None:
        self.numbering = numbering
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[Frame] = []

    def write(self, frame: Frame, stream: int) -> None:
        self.incoming.put_nowait(encode_frame(self.numbering.stamp(frame, stream)))

    async def receive(self) -> aiohttp.WSMessage:
        return aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, await self.incoming.get(), None)

    async def send_bytes(self, data: bytes) -> None:
        frame = decode_frame(data)
        self.sent.append(frame)
        if frame.type == FrameType.WELCOME:
            self.numbering.session = frame.session
            self.write(opening().to_frame(), 1)
        if frame.type == FrameType.DONE:
            self.write(Frame(FrameType.CANCEL), 1)
            self.write(Frame(FrameType.BYE), 0)
        for _ in range(20):
            await asyncio.sleep(0)

    async def close(self, **_: object) -> None:
        return


def test_cancel_that_comes_while_done_is_sent_does_not_end_the_turn_twice():
    async def main():
        wire, desk = SlowWire(Numbering()), TurnDesk(FakeBackend())
        wire.write(Hello().to_frame(), 0)
        await Reception(desk, 15, 8).receive(WebSocketLink(wire), "nobody")
        await desk.close()
        return [(frame.name, frame.stream) for frame in wire.sent]

    frames = asyncio.run(main())
    assert frames[0] == ("WELCOME", 0)
    assert frames[-2:] == [("USAGE", 1), ("DONE", 1)]


def test_cancel_right_behind_turn_gives_its_place_back():
    async def script(client, cloud):
        for stream in range(1, 40):
            await client.send(opening([tensor()]).to_frame(), stream)
            await client.send(Frame(FrameType.CANCEL), stream)
            assert (await client.until_end(stream))[-1].meta["code"] == "cancelled"

    talk(script, max_in_flight=2)


def test_cancel_of_a_turn_that_is_over_is_ignored():
    async def script(client, cloud):
        await client.ask(opening())
        await client.until_end()
        await client.send(Frame(FrameType.CANCEL))
        await client.ask(opening(), stream=2)
        return (await client.until_end(2))[-1].type

    assert talk(script) == FrameType.DONE


def test_an_upload_that_never_ends_is_over_by_its_deadline():
    async def script(client, cloud):
        await client.send(opening([tensor()], deadline_ms=100).to_frame())
        return (await client.until_end())[-1].meta["code"]

    assert talk(script) == "timeout"
