"""The seam of every offloading policy: decide from features and state, learn from outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_agent.types import Action, Decision, Modality, ModalityFeatures, ModalityPlan, Outcome, SystemState, Turn

_UPLOAD, _IMAGE = Action.UPLOAD, Modality.IMAGE


class OffloadPolicy(Protocol):
    """A pure function of its inputs and its own state: no clock, no randomness, no I/O."""

    name: str

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        """What to do with one question. Never raises on valid inputs."""
        ...

    def observe(self, outcome: Outcome) -> None:
        """Learn from what became of an earlier decision."""
        ...


def upload_bytes(plans: Sequence[ModalityPlan], state: SystemState) -> int | None:
    """Bytes of embeddings that the plans send up, of a picture all views or its overview; None where a size is not
    known.
    """
    total = 0
    for plan in plans:
        if plan.action is _UPLOAD:
            size = state.embedding_bytes_estimate if plan.modality is _IMAGE else state.sound_bytes_estimate
            if size is None:
                return None
            total += size // max(1, state.upload_views) if plan.overview else size
    return total
