"""How finely a picture is coded when it goes up: the quality at which bytes and lost answers together cost least.

    price(l) = bytes(l) * x + lost(l)        x = second_worth * 8e-6 / Mbit/s + megabyte_worth * 1e-6      [ours]

x is in answers a byte. `bytes` of all views and `lost` (right answers a question) of each level of the learned basis
were measured on photos that nothing is judged on (`tools/measure_levels.py`). `cloud.level` is the finest that is
taken: on a usual link all levels are so cheap that it is the one; where the link is very slow, or bytes are dear, a
coarser one is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.base import OffloadPolicy
from edge_agent.policy.estimates import UNKNOWN_MBPS
from edge_agent.policy.shipped import shipped, versioned
from edge_agent.types import Action, Decision, Modality, ModalityFeatures, ModalityPlan, Outcome, SystemState, Turn

VERSION = 1
MAX_LEVELS = 16
PROJECTED = "projected"


@dataclass(frozen=True, slots=True)
class Level:
    """One quality of the basis: bytes of a view, and right answers a question that it loses, 0..1."""

    view_bytes: int
    lost: float


@dataclass(frozen=True, slots=True)
class Levels:
    """All qualities of one basis, the finest first; `basis_id` names it."""

    basis_id: str
    of: tuple[Level, ...]

    def best(self, finest: int, views: int, worth_a_byte: float) -> int:
        """The cheapest level from `finest` on for that many views; of equally cheap ones the finer."""
        first = min(max(0, finest), len(self.of) - 1)

        def price(level: int) -> float:
            return views * self.of[level].view_bytes * worth_a_byte + self.of[level].lost

        return min(range(first, len(self.of)), key=price)


class LevelledPolicy:
    """Any policy; pictures that it sends up in the learned basis are coded as finely as is worth it."""

    def __init__(self, inner: OffloadPolicy, levels: Levels, finest: int, settings: PolicySettings) -> None:
        self._inner, self._levels, self._settings = inner, levels, settings
        self._finest = min(max(0, finest), len(levels.of) - 1)
        self.name = inner.name

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        decision = self._inner.decide(features, state, history)
        for at, plan in enumerate(decision.plans):
            if plan.modality is Modality.IMAGE and plan.action is Action.UPLOAD and plan.codec == PROJECTED:
                views = 1 if plan.overview else state.upload_views
                level = self._levels.best(self._finest, views, self._worth_a_byte(state))
                return decision if level == self._finest else self._coarser(decision, at, plan, level)
        return decision

    def observe(self, outcome: Outcome) -> None:
        self._inner.observe(outcome)

    def _worth_a_byte(self, state: SystemState) -> float:
        worth, mbps = self._settings, UNKNOWN_MBPS if state.uplink_mbps is None else state.uplink_mbps
        return worth.second_worth * 8e-6 / max(mbps, 1e-6) + worth.megabyte_worth * 1e-6

    def _coarser(self, decision: Decision, at: int, plan: ModalityPlan, level: int) -> Decision:
        share = self._levels.of[level].view_bytes / self._levels.of[self._finest].view_bytes
        why = f"{plan.reason}; coded more coarsely, for bytes are dear here"
        plans = (*decision.plans[:at], replace(plan, level=level, reason=why), *decision.plans[at + 1 :])
        size = decision.predicted_bytes
        return replace(decision, plans=plans, predicted_bytes=None if size is None else round(share * size))


def shipped_levels() -> Levels | None:
    """What was measured of the shipped basis; None, with a warning, where the file does not fit."""
    without = "pictures go up at cloud.level always, the table of qualities does not fit"
    return shipped("levels.json", read_levels, None, without)


def read_levels(text: str) -> Levels:
    """The table in a file's text. Raises ValueError that says what does not fit."""
    document = versioned(text, VERSION, "the qualities")
    basis_id, rows = document.get("basis_id"), document.get("levels")
    if not isinstance(basis_id, str):
        raise ValueError("they do not say of which basis they are")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_LEVELS:
        raise ValueError("`levels` lists none, or too many")
    return Levels(basis_id, tuple(_level(row) for row in rows))


def _level(row: Any) -> Level:
    size, lost = (row.get(key) for key in ("view_bytes", "lost")) if isinstance(row, dict) else (None, None)
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise ValueError("a level has no bytes")
    if isinstance(lost, bool) or not isinstance(lost, (int, float)) or not math.isfinite(lost) or not 0 <= lost <= 1:
        raise ValueError("what a level loses is no share")
    return Level(size, float(lost))
