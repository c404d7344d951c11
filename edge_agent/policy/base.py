"""The seam of every offloading policy: decide from features and state, learn from outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_agent.types import Decision, ModalityFeatures, Outcome, SystemState, Turn


class OffloadPolicy(Protocol):
    """A pure function of its inputs and its own state: no clock, no randomness, no I/O."""

    name: str

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        """What to do with one question. Never raises on valid inputs."""
        ...

    def observe(self, outcome: Outcome) -> None:
        """Learn from what became of an earlier decision."""
        ...
