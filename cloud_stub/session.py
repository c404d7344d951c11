"""One client's session on the server side: frames in, turns out, limits enforced, over one connection after another."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

from cloud_stub.credit import Credit
from cloud_stub.link import Link
from cloud_stub.memory import SessionMemory
from cloud_stub.streams import OpenTurn, Sent
from cloud_stub.turns import TurnDesk, TurnKey, TurnRecord
from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.answers import said, tokens_frame
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.drafts import Draft
from edge_agent.transport.frames import (
    Flag,
    Frame,
    FrameError,
    FrameType,
    decode_frame,
    encode_frame,
    is_known,
)
from edge_agent.transport.messages import TurnOpening, error_frame
from edge_agent.transport.numbering import Numbering
from edge_agent.transport.resume import Resume, Resumed
from edge_agent.types import Turn

log = logging.getLogger("cloud_stub")

OVERLOADED_RETRY_MS = 1000
_FATAL = frozenset({"protocol", "too_large"})
_TENSOR_TYPES = frozenset({FrameType.TENSOR_BEGIN, FrameType.TENSOR_CHUNK, FrameType.TENSOR_END})
_TOKENS_PER_FRAME = 256


class Session:
    """Serves one client that was greeted. `principal` names who asks, for the idempotency keys; `spoken` are the
    features of both sides. With RESUME among them its turns go on while no connection is there.
    """

    def __init__(self, desk: TurnDesk, principal: str, number: int, spoken: frozenset[str]) -> None:
        self.principal = principal
        self.ended = False
        self.resumable = features.RESUME in spoken
        self._desk = desk
        self._spoken = spoken
        self._link: Link | None = None
        self._numbering = Numbering(number)
        self._sending = asyncio.Lock()
        self._turns: dict[int, OpenTurn] = {}
        self._sent = Sent()
        self._memory = SessionMemory()
        self._credit = Credit(desk.uploads, self._grant) if features.CREDIT in spoken else None
        self._grants: set[asyncio.Task[None]] = set()
        self._last_stream = 0
        self._draining = False

    @property
    def number(self) -> int:
        return self._numbering.session

    @property
    def connected(self) -> bool:
        return self._link is not None

    async def begin(self, link: Link, welcome: Frame) -> None:
        """The first connection: HELLO was read, `welcome` answers it."""
        self._numbering.skip(0, seen=1)
        self._link = link
        await self._send(welcome, 0)

    async def resume(self, link: Link, resume: Resume) -> None:
        """Another connection takes over: what the client has not seen is sent again, then what comes."""
        async with self._sending:
            old, self._link = self._link, None
            if old is not None:
                await old.close(1001, b"resumed elsewhere")
            self._numbering.forget(0)
            self._numbering.skip(0, seen=1)
            known = {stream: count for stream, _ in resume.streams if (count := self._received(stream)) is not None}
            answer = Resumed(tuple(known.items()), None if self._credit is None else self._credit.left).to_frame()
            await link.send(encode_frame(self._numbering.stamp(answer, 0)))
            for stream, seen in resume.streams:
                for data in self._sent.missing(stream, seen):
                    await link.send(data)
            self._link = link

    async def serve(self, link: Link) -> None:
        """Returns when this connection is closed. All turns are over by then, unless the session may be resumed."""
        gone = False
        try:
            while await self._step(link):
                pass
            gone = not self.ended
        except FrameError as error:
            await self._fail(link, error)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away")
            gone = True
        finally:
            if self._link is link:
                self._link = None
                if not (gone and self.resumable and not self._draining):
                    await self.end()
            await link.close(1001 if self._draining else 1000)

    async def end(self) -> None:
        """Cancel every turn. May be called twice."""
        self.ended = True
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, drain_s: float) -> None:
        """Say GOAWAY, take no new turn, end when the running ones did or `drain_s` passed."""
        self._draining = True
        link = self._link
        if link is not None:
            await self._try_send(Frame(FrameType.GOAWAY, {"code": "draining", "drain_s": drain_s}), 0)
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=drain_s)
        if self._link is not None:
            await self._link.close(1001, b"draining")
        else:
            await self.end()

    async def _step(self, link: Link) -> bool:
        """Deal with one message; False when the connection is over."""
        data = await link.receive()
        if data is None or self._link is not link:
            return False
        frame = decode_frame(data)
        if 0 < frame.stream <= self._last_stream and frame.stream not in self._turns:
            return True  # a late frame of a turn that already ended
        self._numbering.accept(frame)
        if not is_known(frame.type):
            if frame.flags & Flag.OPTIONAL:
                return True
            raise FrameError(f"{frame.name} is not known here")
        if frame.type == FrameType.BYE and frame.stream == 0:
            self.ended = True
            return False
        await self._dispatch(frame)
        return True

    async def _dispatch(self, frame: Frame) -> None:
        turn = self._turns.get(frame.stream)
        try:
            if frame.type == FrameType.TURN and frame.stream > self._last_stream:
                await self._open(frame)
            elif turn is not None and frame.type == FrameType.CANCEL:
                await self._refuse(frame.stream, CloudError("cancelled as asked", code="cancelled", retryable=False))
            elif turn is not None and frame.type in _TENSOR_TYPES:
                if self._credit is not None and frame.type == FrameType.TENSOR_CHUNK:
                    self._credit.take(frame.stream, len(frame.payload))
                turn.assembly.accept(frame)
                turn.check()
            elif turn is not None and frame.type == FrameType.DRAFT and features.DRAFT in self._spoken:
                self._drafted(turn, frame)
            else:
                raise FrameError(f"{frame.name} is out of place on stream {frame.stream}")
        except FrameError as error:
            if error.code in _FATAL:
                raise
            await self._refuse(frame.stream, error)
        except CloudError as error:
            await self._refuse(frame.stream, error)

    async def _open(self, frame: Frame) -> None:
        self._last_stream = frame.stream
        opening = TurnOpening.from_frame(frame, self._desk.limits)
        if self._draining:
            raise CloudError("this server is about to stop", code="draining")
        opening = self._memory.whole(opening, self._spoken, self._desk.limits)
        if len(self._turns) >= self._desk.limits.turns_in_flight or not self._desk.admit():
            raise CloudError("too many turns at once", code="overloaded")
        try:
            backend = self._desk.backend
            reads = (backend.encoder_ids, backend.hidden_size, backend.codecs)
            assembly = TensorAssembly(opening.tensors, self._desk.limits, *reads)
            self._memory.fill(assembly, opening, self._spoken)
            waits = opening.drafts and features.DRAFT in self._spoken
            turn = self._turns[frame.stream] = OpenTurn(opening, assembly, waits)
        except BaseException:
            self._desk.leave()
            raise
        turn.check()
        known = [name for name in opening.tensors if assembly.has(name)]
        turn.task = asyncio.get_running_loop().create_task(self._run(frame.stream, turn))
        turn.task.add_done_callback(lambda _: self._desk.leave())  # also runs for a task cancelled before it began
        if set(known) - set(opening.held):
            await self._try_send(Frame(FrameType.HAVE, {"tensor_ids": known}), frame.stream)

    def _drafted(self, turn: OpenTurn, frame: Frame) -> None:
        """Take the draft of a turn; one that comes after everything else is too late to be of use."""
        if turn.draft is not None:
            raise FrameError("a turn has two drafts")
        turn.draft = Draft.from_frame(frame, self._desk.limits)
        turn.waits_for_draft = False
        turn.check()

    async def _run(self, stream: int, turn: OpenTurn) -> None:
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

    async def _answer(self, stream: int, turn: OpenTurn) -> None:
        key: TurnKey = (self.principal, turn.opening.turn_id)
        record = self._desk.stored(key, turn.opening)
        replayed = record is not None and record.ending is not None
        if record is None:
            await turn.ready.wait()
            tensors = turn.assembly.tensors()
            self._memory.keep_tensors(tensors)
            record = self._desk.start(key, turn.opening, tensors, turn.draft)
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

    async def _finish(self, stream: int, turn: OpenTurn, record: TurnRecord, replayed: bool) -> None:
        if record.ending is None:
            raise record.error or CloudError("the turn ended without a result", code="internal")
        usage, done = record.ending
        if not record.events:
            await self._tell_verdict(record, stream)
        if replayed:
            usage = replace(usage, queue_ms=0.0, first_token_ms=0.0, decode_ms=0.0, replayed=True)
        opening = record.opening
        told = (*opening.history, Turn(opening.question, said(record.events)))
        self._memory.keep_history(opening.turn_id, told)
        await self._send(usage.to_frame(), stream)
        turn.over = True
        await self._send(done.to_frame(), stream)

    async def _tell_verdict(self, record: TurnRecord, stream: int) -> None:
        if record.verdict is not None and features.DRAFT in self._spoken:
            await self._send(record.verdict.to_frame(), stream)

    async def _give_up(self, stream: int, turn: OpenTurn, error: Frame) -> None:
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

    async def _fail(self, link: Link, error: FrameError) -> None:
        """Tell why, then close: the other side broke the protocol."""
        log.info("closing a session: %s", error.message)
        await self._try_send(_error_frame(error), 0)
        await link.close(error.close_code, error.code.encode())

    def _received(self, stream: int) -> int | None:
        """How many frames of the client came on a stream; None for a turn that is forgotten."""
        if stream in self._turns or stream > self._last_stream:
            return self._numbering.seen(stream)
        return self._sent.received(stream)

    def _end(self, stream: int) -> None:
        """Forget a turn, once its last frame went out: its frames are numbered to the end."""
        self._turns.pop(stream, None)
        if self._credit is not None:
            self._credit.end(stream)
        if self.resumable:
            self._sent.end(stream, self._numbering.seen(stream))
        self._numbering.forget(stream)

    def _grant(self, size: int) -> None:
        task = asyncio.get_running_loop().create_task(self._try_send(Frame(FrameType.CREDIT, {"bytes": size}), 0))
        self._grants.add(task)
        task.add_done_callback(self._grants.discard)

    async def _try_send(self, frame: Frame, stream: int) -> None:
        try:
            await self._send(frame, stream)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away")

    async def _send(self, frame: Frame, stream: int) -> None:
        """Send on the connection there is. Of a session that may be resumed nothing is lost without one."""
        async with self._sending:
            data = encode_frame(self._numbering.stamp(frame, stream))
            if self.resumable and stream:
                self._sent.add(stream, data)
            if self._link is None:
                return
            try:
                await self._link.send(data)
            except (ConnectionError, asyncio.TimeoutError):
                if not (self.resumable and stream):
                    raise


def _error_frame(error: CloudError) -> Frame:
    wait_ms = OVERLOADED_RETRY_MS if error.code == "overloaded" else None
    return error_frame(error.code, error.message, retry_after_ms=wait_ms)
