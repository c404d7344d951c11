"""An agent of scripted parts on a manual clock: what the tests of the pipeline have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge_agent.agent import Agent
from edge_agent.clock import ManualClock
from edge_agent.engines.scripted import Script, ScriptedEngine
from edge_agent.errors import CloudError
from edge_agent.hedging import HedgeBudget
from edge_agent.parts import Limits, Parts, Veil
from edge_agent.policy import GuardedPolicy, OffloadPolicy
from edge_agent.store.ledger import MemoryLedger
from edge_agent.types import (
    U8,
    AudioWindow,
    Decision,
    Frame,
    Generation,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    MotionFeatures,
    Observation,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
    Turn,
)

SURE = Generation("cup", confidence=0.9, max_entropy=0.01, tokens=1)
UNSURE = Generation("dog", confidence=0.4, max_entropy=0.8, tokens=1)
CLOUD = Generation("cat", confidence=0.95, max_entropy=0.02, tokens=1, bytes_up=4000, bytes_down=60, cost_usd=0.001)


class GreyExtractor:
    """Entropy is the brightness over 32: enough to tell frames apart."""

    def __init__(self) -> None:
        self._last: float | None = None

    def vision(self, pixels: U8) -> tuple[ImageFeatures, MotionFeatures]:
        bright = float(pixels.mean())
        moved = 0.0 if self._last is None else abs(bright - self._last)
        motion = MotionFeatures(moved, min(1.0, moved / 100), np.zeros((1, 1), np.float32), self._last is not None)
        self._last = bright
        tiles = np.full((1, 1), bright / 32, np.float32)
        return ImageFeatures(pixels.shape[1], pixels.shape[0], bright / 32, tiles, 0.0, 0.0), motion

    def observe(self, observation: Observation) -> ModalityFeatures:
        fresh, audio = GreyExtractor(), observation.audio
        pairs = [fresh.vision(one.pixels) for one in observation.frames]
        return ModalityFeatures(
            image=pairs[observation.key_frame][0] if pairs else None,
            motion=tuple(motion for _, motion in pairs[1:]),
            sound=None if audio is None else self.sound(audio.samples, audio.rate_hz),
            question=observation.question,
        )

    def sound(self, samples: Any, rate_hz: int) -> SoundFeatures:
        flux = np.array([np.abs(samples).max(initial=0.0)], np.float32)
        return SoundFeatures(rate_hz, 512, 160, flux, flux, flux, flux, flux)


class PlainMonitors:
    """Knows nothing but what the test says; remembers what it was told."""

    def __init__(self, state: SystemState) -> None:
        self._state = state
        self.failures: list[CloudError] = []

    def state(self) -> SystemState:
        return self._state

    def cloud_answered(self, generation: Generation, total_ms: float) -> None: ...

    def cloud_failed(self, error: CloudError) -> None:
        self.failures.append(error)

    def local_answered(self, total_ms: float) -> None: ...


class FixedPolicy:
    """Always the same decision; remembers outcomes."""

    name = "fixed"

    def __init__(self, route: Route, accept_entropy: float | None = None, min_gain: float | None = None) -> None:
        self._decision = Decision(route, self.name, "as told", accept_entropy=accept_entropy, min_gain=min_gain)
        self.outcomes: list[Outcome] = []

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        return self._decision

    def observe(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class ListJournal:
    """A decision log in memory; `full` makes it fail like a full disk."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.full = False

    def append(self, record: dict[str, Any]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.records.append(record)


@dataclass
class Bench:
    """Everything around one agent, for a test to look at."""

    policy: FixedPolicy
    clock: ManualClock = field(default_factory=ManualClock)
    local_scripts: Sequence[Script] = (Script(("cup",), SURE),)
    cloud_scripts: Sequence[Script] | None = (Script(("cat",), CLOUD),)
    state: SystemState = field(default_factory=SystemState)
    budget_usd: float = 1.0
    veil: Veil | None = None
    hedging: HedgeBudget | None = None

    def __post_init__(self) -> None:
        self.local = ScriptedEngine("local", self.clock, self.local_scripts)
        self.cloud = None if self.cloud_scripts is None else ScriptedEngine("cloud", self.clock, self.cloud_scripts)
        self.monitors = PlainMonitors(self.state)
        self.ledger = MemoryLedger(self.budget_usd, self.clock)
        self.journal = ListJournal()
        policy: OffloadPolicy = GuardedPolicy(self.policy)
        self.agent = Agent(
            Parts(
                extractor=GreyExtractor(),
                local=self.local,
                cloud=self.cloud,
                policy=policy,
                monitors=self.monitors,
                purse=self.ledger,
                journal=self.journal,
                clock=self.clock,
                veil=self.veil,
                hedging=self.hedging,
            )
        )


def frame(brightness: int = 100, at_s: float = 0.0) -> Frame:
    return Frame(np.full((8, 8, 3), brightness, np.uint8), at_s)


def photo(question: str = "what is on the table?", **changes: Any) -> Observation:
    return replace(Observation(question, (frame(),)), **changes)


def tone(seconds: float, at_s: float = 0.0, level: float = 0.5) -> AudioWindow:
    return AudioWindow(np.full(int(16000 * seconds), level, np.float32), 16000, at_s)


LIMITS = Limits(deadline_ms=1000.0, max_cost_usd=0.01)
__all__ = ["CLOUD", "LIMITS", "SURE", "UNSURE", "Bench", "FixedPolicy", "Modality", "frame", "photo", "tone"]
