"""What `bench ingest` sends: the same bytes as frames of a tensor, as bare messages, and as POSTs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import aiohttp

from edge_agent.cli.bench.ingest_server import BARE, CODEC, ENCODER, HIDDEN, POST
from edge_agent.errors import CloudError
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.frames import ENDPOINT, SUBPROTOCOL, Frame, FrameType, decode_frame, encode_frame
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening, uuid7
from edge_agent.transport.numbering import Numbering

FRAME_BYTES = 8192
WAIT_S = 60.0
SHORT_FRAMES = 8
OURS = ("frame", "short_turns", "whole_turn")
"""What ours is measured at: the pieces of a tensor as large as one may be; turns of SHORT_FRAMES; and turns to their
answer, with the check of the tensor's name and its decoding, of no model.
"""
Socket: TypeAlias = "aiohttp.ClientWebSocketResponse[Any]"
Round = Callable[[], Awaitable[None]]


_SMALL = bytes(number % 64 for number in range(256))


def tensor_of(frames: int) -> EncodedTensor:
    """A tensor of `frames` chunks of FRAME_BYTES. Its numbers are finite: no byte is above 63."""
    digests = (hashlib.sha256(bytes([n % 256])).digest().translate(_SMALL) for n in range(frames))
    blocks = (digest * (FRAME_BYTES // 32) for digest in digests)
    return EncodedTensor(CODEC, "float32", (frames * FRAME_BYTES // (4 * HIDDEN), HIDDEN), b"".join(blocks), ENCODER)


class Ours:
    """One EAP/1 session. A round is `turns` turns: TURN, one whole tensor of `frames` pieces, and CANCEL, as a second
    tensor is promised; or, where it is `whole`, no second one, but the answer.
    """

    def __init__(self, socket: Socket, frames: int, turns: int = 1, *, whole: bool = False) -> None:
        self._socket = socket
        self._turns = turns
        self._whole = whole
        self._numbering = Numbering()
        self._stream = 0
        self._tensor = tensor_of(frames)
        self._name = self._tensor.tensor_id()

    async def greet(self) -> None:
        """HELLO, WELCOME."""
        await self._socket.send_bytes(encode_frame(self._numbering.stamp(Hello().to_frame(), 0)))
        self._numbering.session = (await self._read()).session

    def prepared(self) -> Round:
        """A round whose frames are made already."""
        turns = [self._turn() for _ in range(self._turns)]

        async def send() -> None:
            for turn in turns:
                await turn()

        return send

    def _turn(self) -> Round:
        self._stream += 1
        names = (self._name,) if self._whole else (self._name, "0" * 64)
        opening = TurnOpening(uuid7(self._stream), "?", names, 60_000, 1)
        payload = self._tensor.payload
        frames = [opening.to_frame(), TensorBegin.frame_of(self._tensor, self._name)]
        frames += [
            Frame(FrameType.TENSOR_CHUNK, payload=payload[at : at + FRAME_BYTES])
            for at in range(0, len(payload), FRAME_BYTES)
        ]
        frames += [Frame(FrameType.TENSOR_END), *([] if self._whole else [Frame(FrameType.CANCEL)])]
        made = [encode_frame(self._numbering.stamp(frame, self._stream)) for frame in frames]

        async def send() -> None:
            for data in made:
                await self._socket.send_bytes(data)
            frame = await self._read()
            while frame.type == FrameType.USAGE:
                frame = await self._read()
            if frame.type != FrameType.DONE if self._whole else frame.meta.get("code") != "cancelled":
                raise CloudError(f"the server answered {frame.name} {dict(frame.meta)}", code="internal")

        return send

    async def _read(self) -> Frame:
        return decode_frame(await self._socket.receive_bytes(timeout=WAIT_S))


async def bare_round(socket: Socket, blocks: list[bytes]) -> None:
    """The same number of binary messages, and a text that comes back behind them."""
    for block in blocks:
        await socket.send_bytes(block)
    await socket.send_str("all")
    await socket.receive_str(timeout=WAIT_S)


async def post_round(session: aiohttp.ClientSession, url: str, blocks: list[bytes]) -> None:
    """One POST after the other."""
    for block in blocks:
        async with session.post(url, data=block) as response:
            await response.read()


class Connections:
    """`count` connections of each kind to the server at `url`. `frames` says how many each kind sends in a round."""

    def __init__(self, session: aiohttp.ClientSession, url: str, count: int, frames: int) -> None:
        self._session = session
        self._url = url
        self._count = count
        most = {"whole_turn": 128, "short_turns": 64, "aiohttp_post": 64}
        self.frames = {name: min(frames, most.get(name, frames)) for name in (*OURS, "aiohttp_websocket", *most)}
        self._ours: dict[str, list[Ours]] = {name: [] for name in OURS}
        self._bare: list[Socket] = []
        payload = tensor_of(frames).payload
        self._blocks = [payload[at : at + FRAME_BYTES] for at in range(0, len(payload), FRAME_BYTES)]

    async def open(self) -> None:
        """Connect; the connections end with the session."""
        for _ in range(self._count):
            for name, sessions in self._ours.items():
                socket = await self._session.ws_connect(self._url + ENDPOINT, protocols=(SUBPROTOCOL,), compress=0)
                sessions.append(self._session_for(name, socket))
                await sessions[-1].greet()
            self._bare.append(await self._session.ws_connect(self._url + BARE, compress=0))

    def rounds(self) -> dict[str, list[Round]]:
        """What each connection of each kind does in one round; prepared now."""
        url, blocks = self._url + POST, self._blocks
        posted = blocks[: self.frames["aiohttp_post"]]
        rounds = {name: [one.prepared() for one in sessions] for name, sessions in self._ours.items()}
        rounds["aiohttp_websocket"] = [partial(bare_round, one, blocks) for one in self._bare]
        rounds["aiohttp_post"] = [lambda: post_round(self._session, url, posted)] * self._count
        return rounds

    def _session_for(self, name: str, socket: Socket) -> Ours:
        frames = self.frames[name]
        if name == "short_turns":
            turns = max(1, frames // SHORT_FRAMES)
            self.frames[name] = turns * min(frames, SHORT_FRAMES)
            return Ours(socket, min(frames, SHORT_FRAMES), turns)
        return Ours(socket, frames, whole=name == "whole_turn")


async def side_by_side(rounds: list[Round]) -> None:
    """All connections at once."""
    await asyncio.gather(*(one() for one in rounds))
