"""What an agent is assembled from: the seams that the pipeline pulls on, and the limits of a question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from edge_agent.clock import Clock
from edge_agent.engines.base import Detail, Engine
from edge_agent.errors import CloudError
from edge_agent.hedging import HedgeBudget
from edge_agent.policy import ConstantPolicy, GuardedPolicy, OffloadPolicy
from edge_agent.types import (
    U8,
    AudioWindow,
    Embeddings,
    Frame,
    Generation,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    MotionFeatures,
    Observation,
    Route,
    SoundFeatures,
    SystemState,
    TokenEvent,
)

Veil = Callable[[Observation], Observation]
OnToken = Callable[[Route, TokenEvent], None]
OnProvisional = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told while an answer is made: `token` each token of the engine that answers, `provisional` the words of a
    draft that the cloud is asked to check. Those are no part of the answer.
    """

    token: OnToken | None = None
    provisional: OnProvisional | None = None


class Extractor(Protocol):
    """What the pipeline needs of edge_agent.features.FeatureExtractor."""

    def vision(self, pixels: U8) -> tuple[ImageFeatures, MotionFeatures]: ...

    def sound(self, samples: Any, rate_hz: int) -> SoundFeatures: ...

    def observe(self, observation: Observation) -> ModalityFeatures: ...


class LocalModel(Engine, Protocol):
    """The local engine also makes the embeddings that every engine reads, of what is `encodable`."""

    @property
    def encodable(self) -> tuple[Modality, ...]: ...

    async def encode(self, frame: Frame) -> tuple[Embeddings, ...]: ...

    async def encode_sound(self, sound: AudioWindow) -> Embeddings: ...

    def detail(self, frame: Frame) -> Detail | None: ...


class Monitors(Protocol):
    """What is known of the device and its link; fed by the pipeline's own traffic."""

    def state(self) -> SystemState: ...

    def cloud_answered(self, generation: Generation, total_ms: float) -> None: ...

    def cloud_failed(self, error: CloudError) -> None: ...

    def local_answered(self, total_ms: float) -> None: ...


class Purse(Protocol):
    """What the pipeline needs of edge_agent.store.ledger.Ledger."""

    def left_usd(self) -> float: ...

    def reserve(self, usd: float) -> int | None: ...

    def settle(self, reservation: int, usd: float) -> None: ...

    def close(self) -> None: ...


class Journal(Protocol):
    """What the pipeline needs of edge_agent.store.decisions.DecisionLog."""

    def append(self, record: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one question: milliseconds until answered or refused, the most that it may cost, and the heat and
    memory at which the device's decoder rests (0: no limit).
    """

    deadline_ms: float = 10_000.0
    max_cost_usd: float = 0.01
    max_celsius: float = 0.0
    min_memory_mb: float = 0.0


def constant_policies() -> dict[Route, OffloadPolicy]:
    """What decides where a question names its route itself, with the usual codec."""
    return {route: GuardedPolicy(ConstantPolicy(route)) for route in (Route.LOCAL, Route.CLOUD)}


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that an agent is assembled from. Of the extractor only `observe` is used, which keeps no state.
    `forced` decides instead of `policy` where a question names its route itself. `veil` comes before everything: what
    it hides nothing else sees, and where it fails nothing is asked. `hedging` says when the device
    answers beside a cloud that says nothing; None: never.
    """

    extractor: Extractor
    local: LocalModel
    cloud: Engine | None
    policy: OffloadPolicy
    monitors: Monitors
    purse: Purse
    journal: Journal | None
    clock: Clock
    max_new_tokens: int = 16
    veil: Veil | None = None
    hedging: HedgeBudget | None = None
    forced: Mapping[Route, OffloadPolicy] = field(default_factory=constant_policies)


def question_state(
    monitors: Monitors, cloud_configured: bool, purse: Purse, observation: Observation, limits: Limits
) -> SystemState:
    """What a policy may know of the device for one question: the monitors' view, its limits, the purse."""
    return replace(
        monitors.state(),
        cloud_configured=cloud_configured,
        private=observation.private,
        deadline_ms=limits.deadline_ms,
        max_cost_usd=limits.max_cost_usd,
        max_celsius=limits.max_celsius or None,
        min_memory_mb=limits.min_memory_mb or None,
        budget_left_usd=purse.left_usd(),
    )
