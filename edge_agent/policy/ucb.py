"""A UCB scheduler in the manner of PerLLM (arXiv 2405.14636): device or cloud as the arms of a constrained bandit.

PerLLM schedules services by an upper confidence bound over what meets their constraints. Only that idea is taken; the
arms, contexts and reward here are **our construction**:

    arms      device, cloud; those that are expected to break deadline or purse are closed
    context   kind of question (its first word, and whether it counts) and how fast the link is: 12 cells
    reward    confidence of the answer - second_worth * seconds, clipped to -1..1
    index     mean + sqrt(2 ln(t) / n), halved: rewards differ by far less than one

It learns nothing about a draft: it is the kind of policy that MSAO compares itself with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.plans import PlanBook
from edge_agent.policy.simple import decided
from edge_agent.types import Decision, ModalityFeatures, Outcome, Route, SystemState, Turn

STATE_VERSION = 1
KINDS = 4
LINKS_MBPS = (2.0, 20.0)
CELLS = KINDS * (len(LINKS_MBPS) + 1)
ARMS = ("device", "cloud")
EXPLORATION = 0.5
MEMORY = 2000.0  # plays of a cell; older ones fade
YES_NO = frozenset(("is", "are", "was", "were", "do", "does", "did", "can", "could", "has", "have", "will"))
COUNT = ("how many", "how much", "count")


class UcbPolicy:
    """Takes the open arm of the largest index. Its state: plays and summed rewards of each cell and arm."""

    name = "ucb"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        self._second_worth = settings.second_worth
        self._book = PlanBook(codec)
        self._plays = [[0.0, 0.0] for _ in range(CELLS)]
        self._rewards = [[0.0, 0.0] for _ in range(CELLS)]

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        cell = _cell(features.question, state.uplink_mbps)
        indices = [self._index(cell, arm) for arm in range(len(ARMS))]
        up = indices[1] > indices[0] and _fits(state)
        reason = f"cell {cell}: device {indices[0]:.3f}, cloud {indices[1]:.3f}"
        return decided(self.name, up, reason, self._book, features, state)

    def observe(self, outcome: Outcome) -> None:
        """Book the reward with the arm that really answered."""
        if outcome.decision.policy != self.name or outcome.error is not None:
            return
        words = outcome.decision.reason.rpartition("cell ")[2].partition(":")[0]
        if not words.isdigit() or int(words) >= CELLS:
            return
        cell, arm = int(words), int(outcome.route is Route.CLOUD)
        reward = outcome.confidence - self._second_worth * 0.001 * outcome.latency_ms
        fade = min(1.0, MEMORY / (self._plays[cell][arm] + 1.0))
        self._plays[cell][arm] = fade * (self._plays[cell][arm] + 1.0)
        self._rewards[cell][arm] = fade * (self._rewards[cell][arm] + min(1.0, max(-1.0, reward)))

    def state(self) -> dict[str, Any]:
        return {"version": STATE_VERSION, "plays": self._plays, "rewards": self._rewards}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up an earlier `state`. Raises ValueError where it does not fit."""
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"not version {STATE_VERSION}")
        plays, rewards = _cells(state.get("plays")), _cells(state.get("rewards"))
        pairs = [(n, r) for row, gained in zip(plays, rewards, strict=True) for n, r in zip(row, gained, strict=True)]
        if any(n < 0 or n > MEMORY + 1 or abs(r) > n + 1e-9 for n, r in pairs):
            raise ValueError("its plays and rewards do not go together")
        self._plays, self._rewards = plays, rewards

    def _index(self, cell: int, arm: int) -> float:
        plays = self._plays[cell]
        if plays[arm] < 1.0:
            return 2.0 - 0.1 * arm  # each is tried once, the device first
        mean = self._rewards[cell][arm] / plays[arm]
        return mean + EXPLORATION * math.sqrt(2.0 * math.log(sum(plays) + 1.0) / plays[arm])


def _fits(state: SystemState) -> bool:
    """Whether the cloud is expected to keep deadline and purse."""
    late = state.deadline_ms is not None and (state.cloud_latency_estimate_ms or 0.0) > state.deadline_ms
    left = state.max_cost_usd if state.budget_left_usd is None else state.budget_left_usd
    return not late and (left is None or state.cloud_cost_estimate_usd <= left)


def _cell(question: str, mbps: float | None) -> int:
    lower = question.lower()
    first = lower.partition(" ")[0]
    kind = 0 if lower.startswith(COUNT) else 1 if first in YES_NO else 2 if first in ("what", "which") else 3
    speed = len(LINKS_MBPS) if mbps is None else sum(mbps > limit for limit in LINKS_MBPS)
    return kind * (len(LINKS_MBPS) + 1) + speed


def _cells(raw: Any) -> list[list[float]]:
    if not isinstance(raw, list) or len(raw) != CELLS:
        raise ValueError(f"it has not {CELLS} cells")
    for row in raw:
        if not isinstance(row, list) or len(row) != len(ARMS):
            raise ValueError("a cell has not two arms")
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) for v in row):
            raise ValueError("an arm holds no number")
    return [[float(v) for v in row] for row in raw]
