"""What the model made and what the user gets: embeddings, tokens, generations, answers, outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.types.arrays import F32, value
from edge_agent.types.decision import Decision, Route
from edge_agent.types.observation import Modality


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What streams to the cloud: `data` [tokens, hidden] float32 of one modality, made by the encoder `encoder_id`.

    `place` (row, column, from 1) of a tile of a model that cuts pictures into a grid of their own shape; else None.
    """

    data: F32
    encoder_id: str
    modality: Modality = Modality.IMAGE
    place: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingSizes:
    """How large the embeddings of a model are on the wire: bytes of one view, how many views a picture has at most
    (the whole one and its tiles), and bytes of a sound, None where the model hears nothing.
    """

    view_bytes: int
    views: int = 1
    sound_bytes: int | None = None


@value
class TokenEvent:
    """One generated token. `text` is what it adds to the answer; `probability` and `entropy` (normalised by
    log |V|) are 0..1 under the model that made it.
    """

    token_id: int
    text: str
    probability: float
    entropy: float


@dataclass(frozen=True, slots=True)
class Hedged:
    """What became of a question that the device answered beside a cloud that said nothing for too long. `won`: whose
    words the answer is. The rest was for nothing: `device_ms` and `tokens` of the device where the cloud won, else
    `bytes_up` and, as a bill that never came is booked, `cost_usd` of the cloud.
    """

    won: Route
    device_ms: float = 0.0
    tokens: int = 0
    bytes_up: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """The end of a stream of tokens: the whole text, calibrated confidence 0..1, largest entropy, bytes and money.

    `prompt_tokens`: what the decoder read before it, 0 where that is not known.
    `views_up`: views of a picture that went up for it, of `views_read` that the cloud would read of one; `encode_ms`:
    time that making more of them took on the way.
    `expected_gain`, -1..1: by how many right answers a question the cloud is expected to do better; None: not known.
    `token_ids` of an answer made here, its end token included. Of `draft_tokens` that the cloud checked,
    `accepted_tokens` are in its answer: it has saved as many steps.
    `rtt_ms` of the link, and the `loss_share` 0..1 of packets sent again, as the kernel saw them; None: not known.
    """

    text: str
    confidence: float
    max_entropy: float
    tokens: int
    prompt_tokens: int = 0
    finish_reason: str = "stop"
    bytes_up: int = 0
    bytes_down: int = 0
    cost_usd: float = 0.0
    views_up: int = 0
    views_read: int = 0
    encode_ms: float = 0.0
    upload_ms: float = 0.0
    first_token_ms: float = 0.0
    decode_ms: float = 0.0
    expected_gain: float | None = None
    token_ids: tuple[int, ...] = ()
    draft_tokens: int = 0
    accepted_tokens: int = 0
    rtt_ms: float | None = None
    loss_share: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user gets. `timings_ms` are consecutive stages that add up to `timings_ms["total"]`. `draft_tokens` and
    `accepted_tokens` are those of Generation.

    `expected_gain` is that of the device's own answer, where it made one and its model predicts it: see Generation.
    `cloud_away`: it would have gone to the cloud, which was not reached; asked again later, the cloud may answer.
    `hedged`: it was answered at two places, see Hedged.
    """

    text: str
    route: Route
    reason: str
    confidence: float
    decision: Decision
    bytes_up: int = 0
    bytes_down: int = 0
    cost_usd: float = 0.0
    timings_ms: dict[str, float] = field(default_factory=dict)
    expected_gain: float | None = None
    tokens: int = 0
    prompt_tokens: int = 0
    finish_reason: str = "stop"
    draft_tokens: int = 0
    accepted_tokens: int = 0
    cloud_away: bool = False
    hedged: Hedged | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a decision; the policy learns from it and the decision log keeps it.

    `expected_gain` is that of the device's own answer, whether it stood as a draft, was sent up, or is the answer.
    """

    decision: Decision
    route: Route
    latency_ms: float
    bytes_up: int
    cost_usd: float
    confidence: float
    draft_text: str | None = None
    draft_entropy: float | None = None
    draft_accepted: bool | None = None
    expected_gain: float | None = None
    error: str | None = None
