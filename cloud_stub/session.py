"""One client's session on the server side: frames in, turns opened, limits kept, over one connection after another."""

from __future__ import annotations

import asyncio
import logging

from cloud_stub.answering import Answering, refusal
from cloud_stub.credit import Credit
from cloud_stub.link import Link
from cloud_stub.memory import SessionMemory
from cloud_stub.outgoing import Outgoing
from cloud_stub.streams import OpenTurn
from cloud_stub.turns import TurnDesk
from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.drafts import Draft
from edge_agent.transport.frames import Flag, Frame, FrameError, FrameType, decode_frame, is_known, stream_of
from edge_agent.transport.intake import Filling, new_intake
from edge_agent.transport.messages import TurnOpening
from edge_agent.transport.resume import Resume

log = logging.getLogger("cloud_stub")

_NO_CREDIT_BYTES = 1 << 62  # without the feature, what a tensor declared is the only bound
_TENSOR_TYPES = frozenset({FrameType.TENSOR_BEGIN, FrameType.TENSOR_CHUNK, FrameType.TENSOR_END})


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
        self._out = Outgoing(number, self.resumable)
        self._numbering = self._out.numbering
        self._turns: dict[int, OpenTurn] = {}
        self._memory = SessionMemory()
        self._answering = Answering(desk, principal, spoken, self._memory, self._out)
        self._credit = Credit(desk.uploads, self._grant) if features.CREDIT in spoken else None
        self._grants: set[asyncio.Task[None]] = set()
        self._intake, self._taken_of = new_intake(), 0
        self._last_stream = 0
        self._draining = False

    @property
    def number(self) -> int:
        return self._numbering.session

    @property
    def connected(self) -> bool:
        return self._out.link is not None

    async def begin(self, link: Link, welcome: Frame) -> None:
        """The first connection: HELLO was read, `welcome` answers it."""
        await self._out.begin(link, welcome)

    async def resume(self, link: Link, resume: Resume) -> None:
        """Another connection takes over: what the client has not seen is sent again, then what comes."""
        await self._out.resume(link, resume, self._received, self._credit_left)

    async def serve(self, link: Link) -> None:
        """Returns when this connection is closed. All turns are over by then, unless the session may be resumed."""
        gone = False
        intake = self._intake = new_intake()  # one a connection: what another left over must not get into this one's
        try:
            while (data := await link.receive(intake.take)) is not None and self._out.link is link and not self.ended:
                if not self._took(data) and not await self._step(decode_frame(data)):
                    break
            gone = not self.ended
        except FrameError as error:
            await self._fail(link, error)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away")
            gone = True
        finally:
            if self._out.link is link:
                self._out.link = None
                if not (gone and self.resumable and not self._draining):
                    await self.end()
            await link.close(1001 if self._draining else 1000)

    async def end(self) -> None:
        """Cancel every turn. May be called twice."""
        self.ended = True
        self._settle()
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, drain_s: float) -> None:
        """Say GOAWAY, take no new turn, end when the running ones did or `drain_s` passed."""
        self._draining = True
        link = self._out.link
        if link is not None:
            await self._out.try_send(Frame(FrameType.GOAWAY, {"code": "draining", "drain_s": drain_s}), 0)
        tasks = [turn.task for turn in self._turns.values() if turn.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=drain_s)
        if self._out.link is not None:
            await self._out.link.close(1001, b"draining")
        else:
            await self.end()

    def _took(self, data: bytes) -> bool:
        """Take a message that is the next piece of a tensor, and have the intake take those behind it by itself, up to
        where credit is due. False for any other, and `_step` says what is wrong with it.
        """
        self._settle()
        stream, credit = stream_of(data), self._credit
        turn = self._turns.get(stream)
        filling = None if turn is None else turn.assembly.filling
        if filling is None:
            return False
        most = _NO_CREDIT_BYTES if credit is None else credit.left
        self._arm(stream, filling, most)
        if not self._intake.take(data):
            self._intake.disarm()
            return False
        if credit is not None:
            self._settle()
            self._arm(stream, filling, credit.quiet)
        return True

    def _arm(self, stream: int, filling: Filling, most_bytes: int) -> None:
        self._taken_of = stream
        seq, most_of_one = self._numbering.seen(stream), self._desk.limits.chunk_bytes
        self._intake.arm(self.number, stream, seq, filling, most_bytes, most_of_one)

    def _settle(self) -> None:
        """Count what the intake took by itself, and take nothing more so: before anybody asks for a number."""
        self._intake.disarm()
        frames, size = self._intake.settle()
        if frames:
            self._numbering.note(self._taken_of, frames)
            if self._credit is not None:
                self._credit.take(self._taken_of, size)

    async def _step(self, frame: Frame) -> bool:
        """Deal with one frame; False when the session is over."""
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
        except FrameError:
            raise
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
            await self._out.try_send(Frame(FrameType.HAVE, {"tensor_ids": known}), frame.stream)

    def _drafted(self, turn: OpenTurn, frame: Frame) -> None:
        """Take the draft of a turn; one that comes after everything else is too late to be of use."""
        if turn.draft is not None:
            raise FrameError("a turn has two drafts")
        turn.draft = Draft.from_frame(frame, self._desk.limits)
        turn.waits_for_draft = False
        turn.check()

    async def _run(self, stream: int, turn: OpenTurn) -> None:
        try:
            await self._answering.run(stream, turn)
        except FrameError as error:  # its tensors are not what was said of them
            self._end(stream)
            self.ended = True
            if (link := self._out.link) is not None:
                await self._fail(link, error)
            await self.end()
        finally:
            if self._turns.get(stream) is turn:  # else `_refuse` has taken it over, and still counts its frames
                self._end(stream)

    async def _refuse(self, stream: int, error: CloudError) -> None:
        """End the turn of `stream`, if it runs, with a typed error; the session goes on."""
        turn = self._turns.pop(stream, None)
        if turn is not None and turn.task is not None:
            if not turn.over:
                turn.task.cancel()
            await asyncio.gather(turn.task, return_exceptions=True)
            turn.assembly.drop()
        if turn is None or not turn.over:  # it may have come to its end before it heard of this
            await self._out.try_send(refusal(error), stream)
        self._end(stream)

    async def _fail(self, link: Link, error: FrameError) -> None:
        """Tell why, then close: the other side broke the protocol, or sends what WELCOME did not ask for."""
        log.info("closing a session: %s", error.message)
        await self._out.try_send(refusal(error), 0)
        await link.close(error.close_code, error.code.encode())

    def _received(self, stream: int) -> int | None:
        """How many frames of the client came on a stream; None for a turn that is forgotten."""
        self._settle()
        if stream in self._turns or stream > self._last_stream:
            return self._numbering.seen(stream)
        return self._out.received(stream)

    def _credit_left(self) -> int | None:
        self._settle()
        return None if self._credit is None else self._credit.left

    def _end(self, stream: int) -> None:
        """Forget a turn, once its last frame went out: its frames are numbered to the end."""
        self._settle()
        if (turn := self._turns.pop(stream, None)) is not None:
            turn.assembly.drop()
        if self._credit is not None:
            self._credit.end(stream)
        self._out.end(stream)

    def _grant(self, size: int) -> None:
        task = asyncio.get_running_loop().create_task(self._out.try_send(Frame(FrameType.CREDIT, {"bytes": size}), 0))
        self._grants.add(task)
        task.add_done_callback(self._grants.discard)
