"""One client's WebSocket on the server side: frames in, turns out, limits enforced, turns cancelled when it leaves."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import aclosing
from dataclasses import dataclass, replace

from aiohttp import WSMsgType, web

from cloud_stub.turns import TurnDesk, TurnKey, TurnRecord
from edge_agent.errors import CloudError
from edge_agent.transport.answers import tokens_frame
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.drafts import DRAFT_FEATURE, Draft
from edge_agent.transport.frames import (
    RESERVED,
    Flag,
    Frame,
    FrameError,
    FrameType,
    decode_frame,
    encode_frame,
    is_known,
)
from edge_agent.transport.messages import Hello, TurnOpening, Welcome, error_frame
from edge_agent.transport.numbering import Numbering

log = logging.getLogger("cloud_stub")

HELLO_S = 10.0
SEND_S = 30.0
OVERLOADED_RETRY_MS = 1000
_FATAL = frozenset({"protocol", "too_large"})
_TENSOR_TYPES = frozenset({FrameType.TENSOR_BEGIN, FrameType.TENSOR_CHUNK, FrameType.TENSOR_END})
_TOKENS_PER_FRAME = 256


@dataclass(slots=True)
class _Turn:
    """A turn of this session: its tensors as they come, and the task that answers it. `over`: its last frame is out."""

    opening: TurnOpening
    assembly: TensorAssembly
    uploaded: asyncio.Event
    draft: Draft | None = None
    task: asyncio.Task[None] | None = None
    over: bool = False


class Session:
    """Serves one WebSocket until it closes. `principal` names who asks, for the idempotency keys."""

    def __init__(self, socket: web.WebSocketResponse, desk: TurnDesk, principal: str, heartbeat_s: int) -> None:
        self._socket = socket
        self._desk = desk
        self._principal = principal
        self._heartbeat_s = heartbeat_s
        self._numbering = Numbering()
        self._sending = asyncio.Lock()
        self._turns: dict[int, _Turn] = {}
        self._last_stream = 0
        self._draining = False
        self._close_code = 1000
        self._greeted = False
        self._features: frozenset[str] = frozenset()

    async def serve(self) -> None:
        """Returns when the connection is closed; all its turns are over by then."""
        try:
            await self._greet()
            while await self._step():
                pass
        except FrameError as error:
            await self._fail(error)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away")
        finally:
            tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._socket.close(code=self._close_code)

    async def drain(self, drain_s: float) -> None:
        """Say GOAWAY, take no new turn, end when the running ones did or `drain_s` passed."""
        self._draining = True
        if self._greeted:
            try:
                await self._send(Frame(FrameType.GOAWAY, {"code": "draining", "drain_s": drain_s}), 0)
            except (ConnectionError, asyncio.TimeoutError):
                log.info("a client went away")
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=drain_s)
        self._close_code = 1001  # whichever of this and `serve` closes first
        await self._socket.close(code=1001, message=b"draining")

    async def _greet(self) -> None:
        data = await asyncio.wait_for(self._receive(), HELLO_S)
        if data is None:
            raise ConnectionResetError
        frame = decode_frame(data)
        self._numbering.accept(frame)
        if frame.type != FrameType.HELLO or frame.stream != 0:
            raise FrameError(f"{frame.name} came where HELLO was expected")
        hello = Hello.from_frame(frame)
        if 1 not in hello.versions:
            raise FrameError("no version in common; this is EAP/1", code="version")
        self._principal = f"{self._principal}/{hello.device}"
        backend, prices = self._desk.backend, self._desk.prices
        offered = (DRAFT_FEATURE,) if backend.tokenizer_id else ()
        self._features = frozenset(offered).intersection(hello.features)
        self._numbering = Numbering(secrets.randbits(64) | 1)
        self._numbering.skip(0, seen=1)
        welcome = Welcome(
            version=1,
            model=backend.model,
            codecs=backend.codecs,
            encoder_ids=backend.encoder_ids,
            hidden_size=backend.hidden_size,
            limits=self._desk.limits,
            price_prompt_microusd=prices.prompt,
            price_completion_microusd=prices.completion,
            heartbeat_s=self._heartbeat_s,
            detail_views=backend.detail_views,
            features=offered if hello.features else (),
            tokenizer_id=backend.tokenizer_id or "" if hello.features else "",
        )
        await self._send(welcome.to_frame(), 0)
        self._greeted = True

    async def _receive(self) -> bytes | None:
        """The next binary message; None when the connection is closed."""
        message = await self._socket.receive()
        if message.type == WSMsgType.BINARY:
            return bytes(message.data)
        if message.type == WSMsgType.TEXT:
            raise FrameError("text messages are not part of EAP/1", close_code=1003)
        return None

    async def _step(self) -> bool:
        """Deal with one message; False when the session is over."""
        data = await self._receive()
        if data is None:
            return False
        frame = decode_frame(data)
        if 0 < frame.stream <= self._last_stream and frame.stream not in self._turns:
            return True  # a late frame of a turn that already ended
        self._numbering.accept(frame)
        if not is_known(frame.type):
            if frame.flags & Flag.OPTIONAL:
                return True
            raise FrameError(f"{frame.name} is not known here")
        if frame.type in RESERVED:
            raise FrameError(f"{frame.name} is not part of this release")
        if frame.type == FrameType.BYE and frame.stream == 0:
            return False
        await self._dispatch(frame)
        return True

    async def _dispatch(self, frame: Frame) -> None:
        turn = self._turns.get(frame.stream)
        try:
            if frame.type == FrameType.TURN and frame.stream > self._last_stream:
                self._open(frame)
            elif turn is not None and frame.type == FrameType.CANCEL:
                await self._refuse(frame.stream, CloudError("cancelled as asked", code="cancelled", retryable=False))
            elif turn is not None and frame.type in _TENSOR_TYPES:
                turn.assembly.accept(frame)
                if turn.assembly.complete:
                    turn.uploaded.set()
            elif turn is not None and frame.type == FrameType.DRAFT and DRAFT_FEATURE in self._features:
                self._drafted(turn, frame)
            else:
                raise FrameError(f"{frame.name} is out of place on stream {frame.stream}")
        except FrameError as error:
            if error.code in _FATAL:
                raise
            await self._refuse(frame.stream, error)
        except CloudError as error:
            await self._refuse(frame.stream, error)

    def _open(self, frame: Frame) -> None:
        self._last_stream = frame.stream
        opening = TurnOpening.from_frame(frame, self._desk.limits)
        if self._draining:
            raise CloudError("this server is about to stop", code="draining")
        if len(self._turns) >= self._desk.limits.turns_in_flight or not self._desk.admit():
            raise CloudError("too many turns at once", code="overloaded")
        backend = self._desk.backend
        reads = (backend.encoder_ids, backend.hidden_size, backend.codecs)
        assembly = TensorAssembly(opening.tensors, self._desk.limits, *reads)
        turn = self._turns[frame.stream] = _Turn(opening, assembly, asyncio.Event())
        if assembly.complete:
            turn.uploaded.set()
        turn.task = asyncio.get_running_loop().create_task(self._run(frame.stream, turn))
        turn.task.add_done_callback(lambda _: self._desk.leave())  # also runs for a task cancelled before it began

    def _drafted(self, turn: _Turn, frame: Frame) -> None:
        """Take the draft of a turn; one that comes after everything else is too late to be of use."""
        if turn.draft is not None:
            raise FrameError("a turn has two drafts")
        turn.draft = Draft.from_frame(frame, self._desk.limits)

    async def _run(self, stream: int, turn: _Turn) -> None:
        """Answer one turn within its deadline, or say why not."""
        try:
            await asyncio.wait_for(self._answer(stream, turn), turn.opening.deadline_ms / 1000)
        except asyncio.TimeoutError:
            await self._give_up(stream, turn, error_frame("timeout", "the deadline of the turn passed"))
        except CloudError as error:
            await self._give_up(stream, turn, _error_frame(error))
        except ConnectionError:
            log.info("a client went away during its turn")
        finally:
            if self._turns.get(stream) is turn:  # else `_refuse` has taken it over, and still counts its frames
                self._end(stream)

    async def _answer(self, stream: int, turn: _Turn) -> None:
        key: TurnKey = (self._principal, turn.opening.turn_id)
        record = self._desk.stored(key, turn.opening)
        replayed = record is not None and record.ending is not None
        if record is None:
            await turn.uploaded.wait()
            record = self._desk.start(key, turn.opening, turn.assembly.tensors(), turn.draft)
        first = 0
        async with aclosing(record.follow()) as batches:
            async for batch in batches:
                if not first:
                    await self._tell_verdict(record, stream)
                for start in range(0, len(batch), _TOKENS_PER_FRAME):
                    part = batch[start : start + _TOKENS_PER_FRAME]
                    await self._send(tokens_frame(first, part), stream)
                    first += len(part)
        await self._finish(stream, turn, record, replayed)

    async def _finish(self, stream: int, turn: _Turn, record: TurnRecord, replayed: bool) -> None:
        if record.ending is None:
            raise record.error or CloudError("the turn ended without a result", code="internal")
        usage, done = record.ending
        if not record.events:
            await self._tell_verdict(record, stream)
        if replayed:
            usage = replace(usage, queue_ms=0.0, first_token_ms=0.0, decode_ms=0.0, replayed=True)
        await self._send(usage.to_frame(), stream)
        turn.over = True
        await self._send(done.to_frame(), stream)

    async def _tell_verdict(self, record: TurnRecord, stream: int) -> None:
        if record.verdict is not None and DRAFT_FEATURE in self._features:
            await self._send(record.verdict.to_frame(), stream)

    async def _give_up(self, stream: int, turn: _Turn, error: Frame) -> None:
        if not turn.over:
            turn.over = True
            await self._try_send(error, stream)

    async def _refuse(self, stream: int, error: CloudError) -> None:
        """End the turn of `stream`, if it runs, with a typed error; the session goes on."""
        turn = self._turns.pop(stream, None)
        if turn is not None and turn.task is not None:
            if not turn.over:
                turn.task.cancel()
            await asyncio.gather(turn.task, return_exceptions=True)
        if turn is None or not turn.over:  # it may have come to its end before it heard of this
            await self._try_send(_error_frame(error), stream)
        self._end(stream)

    async def _fail(self, error: FrameError) -> None:
        """Tell why, then close: the other side broke the protocol."""
        log.info("closing a session: %s", error.message)
        await self._try_send(_error_frame(error), 0)
        await self._socket.close(code=error.close_code, message=error.code.encode())

    def _end(self, stream: int) -> None:
        """Forget a turn, once its last frame went out: its frames are numbered to the end."""
        self._turns.pop(stream, None)
        self._numbering.forget(stream)

    async def _try_send(self, frame: Frame, stream: int) -> None:
        try:
            await self._send(frame, stream)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away")

    async def _send(self, frame: Frame, stream: int) -> None:
        async with self._sending:
            data = encode_frame(self._numbering.stamp(frame, stream))
            await asyncio.wait_for(self._socket.send_bytes(data), SEND_S)


def _error_frame(error: CloudError) -> Frame:
    wait_ms = OVERLOADED_RETRY_MS if error.code == "overloaded" else None
    return error_frame(error.code, error.message, retry_after_ms=wait_ms)
