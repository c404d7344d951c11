"""The values that cross the edges between stages: observations, features, decisions, tokens, answers.

All are frozen and slotted (two of them for mypy only, see `value`). Times are monotonic seconds (`_s`); durations at
the edges are milliseconds (`_ms`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # in typing from Python 3.11 on
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda decorator: decorator


U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A dataclass with slots that mypy keeps from being changed. What Python does so that nobody changes an instance
    costs three times its making; a decision, made of three of these, would spend half its time on that.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


class Modality(str, Enum):
    """A kind of evidence that a question can be about."""

    IMAGE = "image"
    AUDIO = "audio"
    TEXT = "text"


class Route(str, Enum):
    """Where an answer came from, or is to come from. CASCADE drafts on the device and asks the cloud only if unsure."""

    LOCAL = "local"
    CLOUD = "cloud"
    CASCADE = "cascade"


class Action(str, Enum):
    """What happens to one modality of one question."""

    DROP = "drop"
    KEEP = "keep"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `pixels` is [H, W, 3] uint8 BGR, owned by the frame and never written to again."""

    pixels: U8
    timestamp_s: float
    index: int = 0


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """Mono sound. `samples` is [N] float32 in -1..1, `rate_hz` samples a second, from `start_s` on."""

    samples: F32
    rate_hz: int
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz if self.rate_hz else 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier question of a conversation, with its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Observation:
    """A question and everything that it is about.

    `private` means: nothing of it may leave the device. `key_frame` is the index of the frame that the model looks at
    (-1: the last); the others only tell what moved.
    """

    question: str
    frames: tuple[Frame, ...] = ()
    audio: AudioWindow | None = None
    history: tuple[Turn, ...] = ()
    private: bool = False
    source: str = ""
    key_frame: int = -1


@dataclass(frozen=True, slots=True)
class EmptyTiles:
    """`share` 0..1 of a picture's tiles whose entropy is below `below_bits`."""

    below_bits: float
    share: float


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Single-frame statistics of the grey picture.

    `entropy_bits` 0..8 of the 256-bin histogram; `tile_entropy_bits` [rows, cols] float32, the same per tile;
    `edge_density` 0..1, share of pixels whose Sobel magnitude passes the threshold; `laplacian_variance` >= 0.
    `empty`: summed up for a policy; None where nobody asked.
    """

    width: int
    height: int
    entropy_bits: float
    tile_entropy_bits: F32
    edge_density: float
    laplacian_variance: float
    empty: EmptyTiles | None = None


@dataclass(frozen=True, slots=True)
class MotionFeatures:
    """Difference to the frame before. `mean_abs_diff` 0..255; `changed_share` 0..1; `tile_mean_abs_diff` [rows, cols].

    Where there is no frame before (the first, or after a change of size) all are 0 and `valid` is False.
    """

    mean_abs_diff: float
    changed_share: float
    tile_mean_abs_diff: F32
    valid: bool


@dataclass(frozen=True, slots=True)
class SoundSummary:
    """A sound in three numbers, each 0..1: `quiet_share` of its frames whose energy is below `quiet_energy`;
    `onset_share` of its frames at which something begins; mean `spectral_entropy` of those that are not quiet.
    """

    quiet_energy: float
    quiet_share: float
    onset_share: float
    spectral_entropy: float


@dataclass(frozen=True, slots=True)
class SoundFeatures:
    """Statistics of consecutive STFT frames of one chunk of sound; each array is [frames] float32.

    `flux` >= 0 half-wave rectified spectral flux; `spectral_entropy` 0..1; `flatness` 0..1;
    `energy` mean square of the windowed samples; `zero_crossing_rate` 0..1. `summary`: for a policy; None where nobody
    asked.
    """

    rate_hz: int
    window: int
    hop: int
    flux: F32
    spectral_entropy: F32
    flatness: F32
    energy: F32
    zero_crossing_rate: F32
    summary: SoundSummary | None = None


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """Counts of a question's words: all; numbers and names; those about what is seen; those about what is heard."""

    words: int
    entities: int
    sight_words: int
    sound_words: int


@dataclass(frozen=True, slots=True)
class ModalityFeatures:
    """What the policy may know about an observation before any model runs. A missing modality is None."""

    image: ImageFeatures | None = None
    motion: tuple[MotionFeatures, ...] = ()
    sound: SoundFeatures | None = None
    question: str = ""
    text: TextFeatures | None = None


@dataclass(frozen=True, slots=True)
class SystemState:
    """The device, its link and its purse at the moment of a decision. None means: not known.

    `upload_views`: as how many views a picture is expected to go up; `embedding_bytes_estimate`: bytes of all of them;
    `sound_bytes_estimate`: of a sound.
    """

    cloud_configured: bool = False
    cloud_reachable: bool | None = None
    rtt_ms: float | None = None
    uplink_mbps: float | None = None
    edge_load: float | None = None
    temperature_celsius: float | None = None
    memory_available_mb: float | None = None
    private: bool = False
    encodable: tuple[Modality, ...] = (Modality.IMAGE,)
    upload_views: int = 1
    embedding_bytes_estimate: int | None = None
    sound_bytes_estimate: int | None = None
    deadline_ms: float | None = None
    max_cost_usd: float | None = None
    budget_left_usd: float | None = None
    cloud_cost_estimate_usd: float = 0.0
    cloud_latency_estimate_ms: float | None = None
    local_latency_estimate_ms: float | None = None


@value
class ModalityPlan:
    """What happens to one modality: the action, its codec when uploaded, and why."""

    modality: Modality
    action: Action
    codec: str | None = None
    tokens: int | None = None
    sparsity: float | None = None
    reason: str = ""


@value
class Decision:
    """What a policy (and then the guards) decided. `accept_entropy` is the CASCADE's threshold on the draft's
    normalised token entropy, 0..1: a draft at or below it is the answer. `min_gain`, -1..1, is another threshold of the
    CASCADE: the draft goes up if the cloud is expected to gain at least that much. It wins where both are given and the
    model predicts the gain; `accept_entropy` decides where it does not.
    """

    route: Route
    policy: str
    reason: str
    plans: tuple[ModalityPlan, ...] = ()
    accept_entropy: float | None = None
    min_gain: float | None = None
    predicted_quality: float | None = None
    predicted_latency_ms: float | None = None
    predicted_bytes: int | None = None
    predicted_cost_usd: float | None = None
    guards: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token. `text` is what it adds to the answer; `probability` and `entropy` (normalised by
    log |V|) are 0..1 under the model that made it.
    """

    token_id: int
    text: str
    probability: float
    entropy: float


@dataclass(frozen=True, slots=True)
class Generation:
    """The end of a stream of tokens: the whole text, calibrated confidence 0..1, largest entropy, bytes and money.

    `views_up`: views of a picture that went up for it; `encode_ms`: time that making more of them took on the way.
    `expected_gain`, -1..1: by how many right answers a question the cloud is expected to do better; None: not known.
    """

    text: str
    confidence: float
    max_entropy: float
    tokens: int
    finish_reason: str = "stop"
    bytes_up: int = 0
    bytes_down: int = 0
    cost_usd: float = 0.0
    views_up: int = 0
    encode_ms: float = 0.0
    upload_ms: float = 0.0
    first_token_ms: float = 0.0
    decode_ms: float = 0.0
    expected_gain: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user gets. `timings_ms` are consecutive stages that add up to `timings_ms["total"]`.

    `expected_gain` is that of the device's own answer, where it made one and its model predicts it: see Generation.
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
