"""What is asked of a cloud and what comes of it: a question with its tensors, and the end of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from edge_agent.errors import CloudError
from edge_agent.transport.codecs import PICTURE_CODECS, EncodedTensor, check_declaration
from edge_agent.transport.drafts import Drafting
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import MICRO, TurnOpening, Welcome
from edge_agent.transport.recall import Recall
from edge_agent.transport.spent import Spent
from edge_agent.types import Turn


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One question for the cloud. `turn_id` (messages.uuid7) is its idempotency key: asked again with the same id, the
    answer is the stored one and costs nothing more. `deadline_ms` counts from the call of `CloudClient.turn`.
    `detail` is asked for (more) tensors once the cloud has said in its WELCOME what it reads, and with what the session
    knows; they follow `tensors`.
    `drafting` makes a draft of the answer meanwhile, for the cloud to check. `spent` is added to.
    """

    question: str
    tensors: tuple[EncodedTensor, ...]
    turn_id: str
    deadline_ms: int
    max_tokens: int = 16
    max_cost_usd: float | None = None
    history: tuple[Turn, ...] = ()
    detail: Callable[[Welcome, Recall], Awaitable[tuple[EncodedTensor, ...]]] | None = None
    drafting: Drafting | None = None
    spent: Spent = field(default_factory=Spent, compare=False)

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
