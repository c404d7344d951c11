"""One turn over an open connection: TURN and tensors up, tokens, usage and the end down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from edge_agent.errors import CloudError
from edge_agent.transport.answers import Done, Usage, tokens_of
from edge_agent.transport.codecs import PICTURE_CODECS, EncodedTensor, check_declaration
from edge_agent.transport.connection import Connection, bounded
from edge_agent.transport.drafts import Draft, Drafting, Verdict
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import MICRO, TensorBegin, TurnOpening, Welcome, error_of
from edge_agent.types import TokenEvent, Turn


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One question for the cloud. `turn_id` (messages.uuid7) is its idempotency key: asked again with the same id, the
    answer is the stored one and costs nothing more. `deadline_ms` counts from the call of `CloudClient.turn`.
    `detail` is asked for (more) tensors once the cloud has said in its WELCOME what it reads; they follow `tensors`.
    `drafting` makes a draft of the answer meanwhile, for the cloud to check.
    """

    question: str
    tensors: tuple[EncodedTensor, ...]
    turn_id: str
    deadline_ms: int
    max_tokens: int = 16
    max_cost_usd: float | None = None
    history: tuple[Turn, ...] = ()
    detail: Callable[[Welcome], Awaitable[tuple[EncodedTensor, ...]]] | None = None
    drafting: Drafting | None = None

    def opening(self, deadline_ms: int) -> TurnOpening:
        """The TURN of this request, with what is left of its deadline."""
        cost = None if self.max_cost_usd is None else int(self.max_cost_usd * MICRO)
        names = tuple(tensor.tensor_id() for tensor in self.tensors)
        return TurnOpening(self.turn_id, self.question, names, max(1, deadline_ms), self.max_tokens, cost, self.history)


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """What a turn has shown of the link and of the cloud, in ms: `upload_ms` from the first byte of `bytes_up` of
    tensors until the cloud had them all, of which `held_ms` waiting for a draft; `rtt_ms` of the greeting; `prefill_ms`
    and `decode_ms` in the cloud's own words; `wire_rtt_ms` and `loss_share` as transport.wire has them.
    """

    bytes_up: int
    upload_ms: float
    held_ms: float
    rtt_ms: float
    prefill_ms: float
    decode_ms: float
    wire_rtt_ms: float | None = None
    loss_share: float | None = None


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The end of a turn. Bytes are those of all EAP frames sent and received for it (a new connection's HELLO and
    WELCOME included; not TCP, TLS and WebSocket headers). `upload_ms`, `first_token_ms` and `decode_ms` are
    consecutive and add up to the whole turn: until the cloud had everything (connecting and both ways of the link
    included), until its first token, until the end. `confidence` and `max_entropy` are the cloud's, 0..1. Of `drafted`
    tokens that it checked, `accepted` are in the answer.
    """

    finish_reason: str
    confidence: float
    max_entropy: float
    tokens: int
    prompt_tokens: int
    cost_usd: float
    replayed: bool
    bytes_up: int
    bytes_down: int
    upload_ms: float
    first_token_ms: float
    decode_ms: float
    link: LinkTimes
    drafted: int = 0
    accepted: int = 0


def check_request(request: TurnRequest, limits: Limits, welcome: Welcome | None = None) -> None:
    """Refuse what the other side would refuse, before a byte is sent. Raises CloudError (`too_large`,
    `unknown_encoder`, `unknown_codec`, `bad_tensor`).
    """
    opening = request.opening(request.deadline_ms).to_frame()
    decoded = sum(check_declaration(tensor.codec, tensor.shape, limits) for tensor in request.tensors)
    sizes = (
        ("text", len(opening.payload), limits.text_bytes_per_turn),
        ("earlier turns", len(request.history), limits.history_turns),
        ("tensors", len(request.tensors), limits.tensors_per_turn),
        ("bytes of tensors", sum(len(tensor.payload) for tensor in request.tensors), limits.compressed_bytes_per_turn),
        ("decoded bytes of tensors", decoded, limits.decoded_bytes_per_turn),
        ("new tokens", request.max_tokens, limits.new_tokens_per_turn),
    )
    for what, size, most in sizes:
        if size > most:
            raise CloudError(f"{what}: {size}; the cloud takes {most}", code="too_large", retryable=False)
    if welcome is None:
        return
    for tensor in request.tensors:
        if tensor.encoder_id not in welcome.encoder_ids:
            text = f"the cloud's model {welcome.model!r} does not read embeddings of encoder {tensor.encoder_id!r}"
            raise CloudError(text, "use bundles made as a pair", code="unknown_encoder", retryable=False)
        if tensor.codec not in welcome.codecs:
            raise CloudError(f"the cloud does not know codec {tensor.codec!r}", code="unknown_codec", retryable=False)
        if tensor.codec not in PICTURE_CODECS and tensor.shape[1] != welcome.hidden_size:
            text = f"embeddings are {tensor.shape[1]} wide; the cloud reads {welcome.hidden_size}"
            raise CloudError(text, code="bad_tensor", retryable=False)


class Exchange:
    """One turn on one connection. `started_s`: the event loop's time when the turn, connecting included, began.

    `asked`: TURN went out. `answered`: a frame of the answer came back.
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
        self._draft: Draft | None = None
        self._verdict: Verdict | None = None
        self.stream = connection.next_stream()
        self.asked = False
        self.answered = False

    async def prepare(self) -> None:
        """Make the tensors that depend on the cloud, and check the whole request. Raises CloudError."""
        check_request(self._request, self._limits, self._welcome)
        if self._request.detail is not None:
            making = self._request.detail(self._welcome)
            more = await bounded(making, self._deadline_s, "making the tensors")
            self._request = replace(self._request, tensors=(*self._request.tensors, *more), detail=None)
            check_request(self._request, self._limits, self._welcome)

    async def run(self, bytes_up_before: int, bytes_down_before: int) -> AsyncGenerator[TokenEvent | TurnResult, None]:
        """Tokens, then one TurnResult. Raises CloudError."""
        await self._upload()
        most_down = self._connection.bytes_down + self._limits.down_bytes_per_turn
        while True:
            frame = await self._connection.receive(self.stream, self._deadline_s, most_down)
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
        if self._request.drafting is not None:
            self._request.drafting.begin(self._welcome, self._bytes)
        async with aclosing(self._frames(opening)) as frames:
            async for frame in frames:
                # A cloud that speaks before it has everything reports an error, which the caller reads next.
                if self._connection.waiting():
                    return
                opens = frame.type == FrameType.TURN
                self.asked = self.asked or opens  # even if the deadline passes while it is being sent
                if not await self._connection.send(frame, self.stream, self._deadline_s):
                    self.asked = self.asked and not opens
                    return
        self._sent_s = asyncio.get_running_loop().time()

    @property
    def _bytes(self) -> int:
        return sum(len(tensor.payload) for tensor in self._request.tensors)

    async def _frames(self, opening: TurnOpening) -> AsyncGenerator[Frame, None]:
        """All of them; the draft goes before the end of the last tensor, which is what the cloud begins at."""
        yield opening.to_frame()
        last = opening.tensors[-1:]
        for name, tensor in zip(opening.tensors, self._request.tensors, strict=True):
            yield TensorBegin.frame_of(tensor, name)
            for start in range(0, len(tensor.payload), self._limits.chunk_bytes):
                chunk = tensor.payload[start : start + self._limits.chunk_bytes]
                yield Frame(FrameType.TENSOR_CHUNK, payload=chunk)
            if (name,) == last:
                await self._drafted()
                if self._draft is not None:
                    yield self._draft.to_frame()
            yield Frame(FrameType.TENSOR_END)

    async def _drafted(self) -> None:
        if self._request.drafting is not None:
            made = await bounded(self._request.drafting.draft(), self._deadline_s, "drafting")
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
            bytes_up=self._bytes,
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
