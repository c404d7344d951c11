"""What a policy is told of the device, and what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_agent.types.arrays import value
from edge_agent.types.observation import Modality
from edge_agent.types.odds import Weights


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
class SystemState:
    """The device, its link and its purse at the moment of a decision. None means: not known.

    `upload_views`: as how many views a picture is expected to go up; `embedding_bytes_estimate`: bytes of all of them;
    `sound_bytes_estimate`: of a sound. `loss_share` 0..1 of packets; `slowed`: the board runs slower than it could, for
    heat or power. From `max_celsius` on, and below `min_memory_mb`, the device's decoder may not run.
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
    loss_share: float | None = None
    slowed: bool | None = None
    undervoltage: bool | None = None
    power_watts: float | None = None
    max_celsius: float | None = None
    min_memory_mb: float | None = None


@value
class ModalityPlan:
    """What happens to one modality: the action, its codec when uploaded, and why. `level`: quality of the codec
    `projected`, 0 the finest; None: as configured. `overview`: the picture goes up as a whole alone, without the detail
    views that the cloud would read, too.
    """

    modality: Modality
    action: Action
    codec: str | None = None
    tokens: int | None = None
    sparsity: float | None = None
    reason: str = ""
    level: int | None = None
    overview: bool = False


@value
class Decision:
    """What a policy (and then the guards) decided. `accept_entropy` is the CASCADE's threshold on the draft's
    normalised token entropy, 0..1: a draft at or below it is the answer. `min_gain`, -1..1, is another threshold of the
    CASCADE: the draft goes up if the cloud is expected to gain at least that much. It wins where both are given and the
    model predicts the gain; `accept_entropy` decides where it does not. `weighs`: what is taken for the gain instead of
    the model's own word: P(only the cloud is right) - P(only the device is), each the sigmoid of a + b * logit of the
    draft's confidence + c * its largest entropy + d * its expected gain. `rests`: why the device's decoder may not run
    now (heat, memory); then the cloud answers, or nobody. Empty: it may.
    `predicted_bytes` are those of the payload, without the frames around it; `hybrid` weighs them, and the added
    milliseconds and USD, by how often such a draft goes up.
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
    rests: str = ""
    weighs: tuple[Weights, Weights] | None = None
