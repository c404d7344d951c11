"""One turn over an open connection: TURN and tensors up, tokens, usage and the end down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.answers import Done, Usage, said, tokens_of
from edge_agent.transport.connection import Connection, bounded
from edge_agent.transport.drafts import Draft, Verdict
from edge_agent.transport.fields import names_of
from edge_agent.transport.frames import Frame, FrameError, FrameType, is_known
from edge_agent.transport.messages import MICRO, TensorBegin, TurnOpening, Welcome, error_of
from edge_agent.transport.recall import Recall
from edge_agent.transport.request import LinkTimes, TurnRequest, TurnResult, check_request
from edge_agent.types import TokenEvent, Turn

T = TypeVar("T")
_OF_TENSORS = frozenset({FrameType.TENSOR_BEGIN, FrameType.TENSOR_CHUNK, FrameType.TENSOR_END})


class Exchange:
    """One turn on one connection. `started_s`: the event loop's time when the turn, connecting included, began.

    `asked`: TURN went out. `answered`: a frame of the answer came back. `revive` is called where the connection breaks
    under a session that can be resumed: it returns once the stream goes on, or raises the error that it was given.
    """

    def __init__(self, connection: Connection, welcome: Welcome, request: TurnRequest, started_s: float) -> None:
        self._connection = connection
        self._welcome = welcome
        self._limits = welcome.limits
        self._request = request
        self._started_s = started_s
        self._deadline_s = started_s + request.deadline_ms / 1000
        self._count = 0
        self._usage: Usage | None = None
        self._first_s: float | None = None
        self._sent_s = started_s
        self._began_s = started_s
        self._held_ms = 0.0
        self._tensor_bytes = 0
        self._draft: Draft | None = None
        self._verdict: Verdict | None = None
        self._early: Frame | None = None
        self._most_down = 0
        self._sending = ""
        self._known: set[str] = set()
        self._said: list[TokenEvent] = []
        self.stream = connection.next_stream()
        self.revive: Callable[[int, CloudError], Awaitable[None]] | None = None
        self.asked = False
        self.answered = False

    async def prepare(self) -> None:
        """Make the tensors that depend on the cloud, and check the whole request. Raises CloudError."""
        check_request(self._request, self._limits, self._welcome)
        if self._request.detail is not None:
            knows = self._connection.recall if self._connection.speaks(features.HAVE) else Recall()
            making = self._request.detail(self._welcome, knows)
            more = await bounded(making, self._deadline_s, "making the tensors")
            self._request = replace(self._request, tensors=(*self._request.tensors, *more), detail=None)
            check_request(self._request, self._limits, self._welcome)

    async def run(self, bytes_up_before: int, bytes_down_before: int) -> AsyncGenerator[TokenEvent | TurnResult, None]:
        """Tokens, then one TurnResult. Raises CloudError."""
        self._most_down = self._connection.bytes_down + self._limits.down_bytes_per_turn
        await self._upload()
        while True:
            frame = await self._next()
            if frame.type == FrameType.HAVE:
                continue  # too late to spare anything
            self.answered = True
            if frame.type == FrameType.TOKENS:
                for event in self._tokens(frame):
                    yield event
            elif frame.type == FrameType.VERDICT:
                self._judged(frame)
            elif frame.type == FrameType.USAGE:
                self._usage = Usage.from_frame(frame)
            elif frame.type == FrameType.DONE:
                done = Done.from_frame(frame)
                self._learn()
                self._connection.end_stream(self.stream)
                up = self._connection.bytes_up - bytes_up_before
                yield self._result(done, up, self._connection.bytes_down - bytes_down_before)
                return
            elif frame.type == FrameType.ERROR:
                raise error_of(frame)
            else:
                raise FrameError(f"{frame.name} does not belong into an answer")

    async def _upload(self) -> None:
        left_ms = int((self._deadline_s - asyncio.get_running_loop().time()) * 1000)
        opening = self._request.opening(min(left_ms, self._limits.deadline_ms))
        self._began_s = asyncio.get_running_loop().time()
        opening = self._remembered(opening)
        async with aclosing(self._frames(opening)) as frames:
            async for frame in frames:
                if await self._interrupted():
                    return
                if frame.type in _OF_TENSORS and self._sending in self._known:
                    continue
                if not await self._granted(frame):
                    return
                opens = frame.type == FrameType.TURN
                self.asked = self.asked or opens  # even if the deadline passes while it is being sent
                if not await self._connection.send(frame, self.stream, self._deadline_s):
                    if self._connection.resumable and self.revive is not None:
                        break  # it is sent again once the session goes on
                    self.asked = self.asked and not opens
                    return
        await self._connection.flush(self._deadline_s)
        self._sent_s = asyncio.get_running_loop().time()

    async def _frames(self, opening: TurnOpening) -> AsyncGenerator[Frame, None]:
        """All of them; the draft goes before the end of the last tensor, which is what the cloud begins at. Where no
        tensor is sent, it follows TURN, which says so.
        """
        sizes = {name: len(one.payload) for name, one in zip(opening.tensors, self._request.tensors, strict=True)}
        unsent = [name for name in opening.tensors if name not in opening.held]
        self._tensor_bytes = sum(sizes[name] for name in unsent)
        if not unsent:
            await self._drafted()
            yield replace(opening, drafts=self._draft is not None).to_frame()
            if self._draft is not None:
                yield self._draft.to_frame()
            return
        yield opening.to_frame()
        last = tuple(unsent[-1:])
        for name, tensor in zip(opening.tensors, self._request.tensors, strict=True):
            if name in opening.held:
                continue
            self._sending = name
            yield TensorBegin.frame_of(tensor, name)
            for start in range(0, len(tensor.payload), self._limits.chunk_bytes):
                chunk = tensor.payload[start : start + self._limits.chunk_bytes]
                yield Frame(FrameType.TENSOR_CHUNK, payload=chunk)
            if (name,) == last:
                await self._drafted()
                if self._draft is not None:
                    yield self._draft.to_frame()
            yield Frame(FrameType.TENSOR_END)

    def _remembered(self, opening: TurnOpening) -> TurnOpening:
        """The TURN without what the session knows already."""
        connection, recall = self._connection, self._connection.recall
        if connection.speaks(features.HAVE):
            opening = replace(opening, held=recall.held(opening.tensors))
        if connection.speaks(features.BASE):
            base, since = recall.base(opening.history)
            opening = replace(opening, base_turn=base, history=since)
        return opening

    async def _interrupted(self) -> bool:
        """Whether the cloud said something that ends the upload: an error, read later. HAVE only shortens it."""
        while self._early is None and self._connection.waiting():
            self._heard(await self._patient(partial(self._receive, whatever=True)))
        return self._early is not None

    async def _granted(self, frame: Frame) -> bool:
        """Wait until a chunk may be sent; False if the cloud said something else that ends the upload."""
        size = len(frame.payload) if frame.type == FrameType.TENSOR_CHUNK else 0
        spend = partial(self._connection.spend, size, self.stream, self._deadline_s, self._most_down)
        while size:
            heard = await self._patient(spend)
            if heard is None:
                break
            self._heard(heard)
            if self._early is not None:
                return False
        return True

    def _heard(self, frame: Frame | None) -> None:
        if frame is not None and frame.type == FrameType.HAVE and self._connection.speaks(features.HAVE):
            self._known.update(names_of(frame.meta, "tensor_ids"))
        elif frame is not None and frame.stream == self.stream and is_known(frame.type):
            self._early = frame

    async def _next(self) -> Frame:
        """The next frame of the answer."""
        early, self._early = self._early, None
        return early if early is not None else await self._patient(self._receive)

    async def _receive(self, *, whatever: bool = False) -> Frame:
        return await self._connection.receive(self.stream, self._deadline_s, self._most_down, whatever=whatever)

    async def _patient(self, receive: Callable[[], Awaitable[T]]) -> T:
        """What `receive` gives, over another connection if this one breaks."""
        try:
            return await receive()
        except CloudError as error:
            if error.code != "closed" or self.revive is None or not self._connection.resumable:
                raise
            await self.revive(self.stream, error)
        return await self._patient(receive)

    def _learn(self) -> None:
        """What the session knows from now on."""
        request = self._request
        told = (*request.history, Turn(request.question, said(self._said)))
        sent = {tensor.tensor_id(): tensor.whole or tensor for tensor in request.tensors}
        self._connection.recall.learn(request.turn_id, sent, told)

    async def _drafted(self) -> None:
        drafting = self._request.drafting
        if drafting is not None and drafting.begin(self._welcome, self._tensor_bytes):
            made = await bounded(drafting.draft(), self._deadline_s, "drafting")
            self._draft, self._held_ms = made.draft, made.held_ms

    def _judged(self, frame: Frame) -> None:
        if self._draft is None or self._verdict is not None or self._count or self._usage is not None:
            raise FrameError("VERDICT came without a draft, twice or too late")
        self._verdict = Verdict.from_frame(frame, len(self._draft.ids))

    def _tokens(self, frame: Frame) -> list[TokenEvent]:
        events = tokens_of(frame, self._count, self._limits)
        if self._usage is not None or self._count + len(events) > self._request.max_tokens:
            raise FrameError("the cloud sends more tokens than were asked for")
        if self._first_s is None:
            self._first_s = asyncio.get_running_loop().time()
        self._count += len(events)
        self._said += events
        return events

    def _result(self, done: Done, bytes_up: int, bytes_down: int) -> TurnResult:
        usage = self._usage
        if usage is None or done.tokens != self._count:
            raise FrameError(f"DONE without USAGE, or after {self._count} of {done.tokens} tokens")
        now_s = asyncio.get_running_loop().time()
        first_s = self._first_s if self._first_s is not None else now_s
        # What the cloud did not spend on its first token, the link did; its word counts only within what passed.
        server_s = (usage.queue_ms + usage.first_token_ms) / 1000
        uploaded_s = min(first_s, max(self._sent_s, first_s - server_s))
        wire = self._connection.wire()
        link = LinkTimes(
            wire_rtt_ms=wire.rtt_ms,
            loss_share=wire.loss_share,
            bytes_up=self._tensor_bytes,
            upload_ms=(uploaded_s - self._began_s) * 1000,
            held_ms=self._held_ms,
            rtt_ms=self._connection.rtt_ms,
            prefill_ms=usage.first_token_ms,
            decode_ms=usage.decode_ms,
        )
        return TurnResult(
            link=link,
            drafted=usage.drafted,
            accepted=usage.accepted,
            finish_reason=done.finish_reason,
            confidence=done.confidence,
            max_entropy=done.max_entropy,
            tokens=self._count,
            prompt_tokens=usage.prompt_tokens,
            cost_usd=usage.cost_microusd / MICRO,
            replayed=usage.replayed,
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            upload_ms=(uploaded_s - self._started_s) * 1000,
            first_token_ms=(first_s - uploaded_s) * 1000,
            decode_ms=(now_s - first_s) * 1000,
        )
