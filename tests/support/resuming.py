"""A client that goes on with a session over another connection, frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from cloud_stub.turns import Prices
from clouds import FakeBackend, RawClient, opening, raw_client, running_cloud, tensor
from edge_agent.transport.drafts import Draft
from edge_agent.transport.features import CLIENT
from edge_agent.transport.frames import Frame, FrameType, decode_frame
from edge_agent.transport.messages import Hello, TensorBegin, Welcome, uuid7
from edge_agent.transport.resume import Resume, Resumed

PRICES = Prices(1000, 1000)
TOKENIZER = "0123456789abcdef"


class Checking(FakeBackend):
    """Can check drafts, too: its tokens are 0, 1, 2, ..."""

    tokenizer_id: str | None = TOKENIZER


def recorded() -> list[Frame]:
    """The frames of one turn as a client sends them: two tensors, one of them in chunks, and a draft."""
    one, two = tensor(seed=1), tensor(seed=2)
    half = len(two.payload) // 2
    turn = opening([one, two], turn_id=uuid7(1_700_000_000_000))
    return [
        turn.to_frame(),
        TensorBegin.frame_of(one, one.tensor_id()),
        Frame(FrameType.TENSOR_CHUNK, payload=one.payload),
        Frame(FrameType.TENSOR_END),
        TensorBegin.frame_of(two, two.tensor_id()),
        Frame(FrameType.TENSOR_CHUNK, payload=two.payload[:half]),
        Frame(FrameType.TENSOR_CHUNK, payload=two.payload[half:]),
        Draft(TOKENIZER, (0, 9)).to_frame(),
        Frame(FrameType.TENSOR_END),
    ]


@contextlib.asynccontextmanager
async def greeted(url: str, device: str = "", **headers: str) -> AsyncIterator[RawClient]:
    async with raw_client(url, greet=False, **headers) as client:
        await client.send(Hello(device=device, features=CLIENT).to_frame(), 0)
        frame = await client.read()
        client.numbering.session = frame.session
        client.welcome = Welcome.from_frame(frame)
        yield client


async def read_raw(client: RawClient, most: int) -> list[bytes]:
    """At most `most` messages, up to the end of the turn."""
    found: list[bytes] = []
    while len(found) < most:
        found.append((await client.socket.receive()).data)
        if decode_frame(found[-1]).type in (FrameType.DONE, FrameType.ERROR):
            break
    return found


async def rest_raw(client: RawClient, before: list[bytes]) -> list[bytes]:
    """What is left of a turn of which `before` came; nothing where that was all (tokens may share a frame or not)."""
    if before and decode_frame(before[-1]).type in (FrameType.DONE, FrameType.ERROR):
        return []
    return await read_raw(client, 100)


async def resume(client: RawClient, first: RawClient, streams: tuple[tuple[int, int], ...]) -> dict[int, int]:
    """Go on with the session of `first`; how much the server has of each stream."""
    client.numbering.session = first.numbering.session
    await client.send(Resume(first.welcome.resume_token, streams).to_frame(), 0)
    frame = await client.read()
    assert frame.type == FrameType.RESUMED, frame
    return dict(Resumed.from_frame(frame).streams)


def cut(socket) -> None:
    """As a broken link does it: no close frame."""
    socket._response.connection.transport.abort()


def content(data: list[bytes]) -> tuple[bytes, list[tuple[int, dict[str, object], bytes]]]:
    """All tokens, and the other frames without the times in them: what of an answer may not differ between two runs."""
    frames = [decode_frame(one) for one in data]
    tokens = b"".join(frame.payload for frame in frames if frame.type == FrameType.TOKENS)
    others = [frame for frame in frames if frame.type != FrameType.TOKENS]
    return tokens, [(f.type, {k: v for k, v in f.meta.items() if k != "timings_ms"}, f.payload) for f in others]


async def whole() -> list[bytes]:
    """What an uncut turn gives."""
    async with running_cloud(Checking(words=5), prices=PRICES) as cloud, greeted(cloud.url) as client:
        for frame in recorded():
            await client.send(frame)
        return await read_raw(client, 100)
