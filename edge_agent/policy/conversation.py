"""Offloading in a conversation: where a turn runs, which views go up, and which choices keep both budgets to the end.

The setting is that of TMO (arXiv 2502.11007): each turn of a conversation runs on the device, or in the cloud with any
subset of three camera views; a conversation has at most `SPAN` turns and one budget each of seconds and of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

VIEWS = 3
SPAN = 5  # turns: the longest conversation, and how far the state looks back
VIEW_SETS: tuple[tuple[int, ...], ...] = tuple(s for k in range(VIEWS + 1) for s in combinations(range(VIEWS), k))
LOCAL = 0
ACTION_NAMES = ("local", *("text" if not s else "view" + "+".join(map(str, s)) for s in VIEW_SETS))
ACTIONS = len(ACTION_NAMES)  # 9: local, cloud with text alone, cloud with each subset of the views
WEIGHT = 1.0 / 3.0  # of association, latency and money against the response score [C]
UPLOADS = np.array([0, *map(len, VIEW_SETS)])  # [9] views that each action sends


@dataclass(frozen=True, slots=True)
class Prices:
    """What each action takes: `latency_s` and `cost_usd` are [9] float64, finite and not negative."""

    latency_s: F64
    cost_usd: F64


@dataclass(frozen=True, slots=True)
class Budget:
    """What a whole conversation may take."""

    latency_s: float = 30.0
    cost_usd: float = 0.05


@dataclass(frozen=True, slots=True)
class Situation:
    """One turn to decide. `tasks` are those of the turns so far, this one last; `actions` those of the turns before.

    `association` [3] says how much each view has to do with the question; `latency_left_s` and `cost_left_usd` are
    what the budgets still hold; at most `turns_after` turns come after this one (how many really do is not known).
    """

    tasks: tuple[int, ...]
    actions: tuple[int, ...]
    association: F64
    latency_left_s: float
    cost_left_usd: float
    turns_after: int


class ConversationPolicy(Protocol):
    """Chooses one of the nine actions for a turn; a pure function of the situation and of what it learned before."""

    name: str

    def choose(self, situation: Situation) -> int:
        """The action 0..8."""
        ...


class LookAhead:
    """The choices after which the rest of the longest conversation still fits both budgets: exact, by the worst case.

    With k turns to come, the cheapest ways to spend them are the Pareto-least sums of k actions; a choice is allowed
    if at least one of those fits into what it leaves over. So a conversation that starts within its budgets ends
    within them, whatever is asked in it and whatever is preferred: the proof is one step of induction.
    """

    def __init__(self, prices: Prices, span: int = SPAN) -> None:
        self.prices = prices
        rest = [_cheapest_sums(prices, turns) for turns in range(span)]  # each [P, 2]
        self._latency = [prices.latency_s[:, None] + sums[:, 0] for sums in rest]  # each [9, P]
        self._cost = [prices.cost_usd[:, None] + sums[:, 1] for sums in rest]

    def allowed(self, latency_left_s: float, cost_left_usd: float, turns_after: int) -> Flags:
        """[9] bool. All False where nothing fits any more."""
        return np.asarray(self.allowed_in_each(np.array([latency_left_s]), np.array([cost_left_usd]), turns_after)[0])

    def allowed_in_each(self, latency_left_s: F64, cost_left_usd: F64, turns_after: int) -> Flags:
        """[M, 9] bool for M states, each with its own budgets left [M]."""
        slow = self._latency[turns_after][None] <= latency_left_s[:, None, None]  # [M, 9, P]
        dear = self._cost[turns_after][None] <= cost_left_usd[:, None, None]
        return np.asarray((slow & dear).any(axis=2))

    def feasible(self, budget: Budget) -> bool:
        """Whether the longest conversation can be held within the budget at all."""
        return bool(self.allowed(budget.latency_s, budget.cost_usd, len(self._cost) - 1).any())


def _cheapest_sums(prices: Prices, turns: int) -> F64:
    """[P, 2] seconds and USD of `turns` turns: every sum that no other one beats in both."""
    kinds = sorted(set(zip(prices.latency_s.tolist(), prices.cost_usd.tolist(), strict=True)))
    plans = combinations_with_replacement(kinds, turns)
    sums = sorted({(sum(p[0] for p in plan), sum(p[1] for p in plan)) for plan in plans})
    least: list[tuple[float, float]] = []
    for latency, cost in sums:
        if not least or cost < least[-1][1]:
            least.append((latency, cost))
    return np.array(least)


def rewards(response: F64, association: F64, prices: Prices) -> F64:
    """[..., 9] reward of each action: response + association / 3 - latency / 3 - money / 3, the last two min-max."""
    return np.asarray(response + WEIGHT * (association - spread(prices.latency_s) - spread(prices.cost_usd)))


def association_score(association: Sequence[float] | F64) -> F64:
    """[9] in 0..1: the sum over the views that an action uploads (0 for local and text), min-max over the nine. [C]"""
    sums = np.array([0.0, *(sum(float(association[v]) for v in views) for views in VIEW_SETS)])
    return spread(sums)


def spread(values: F64) -> F64:
    """Min-max to 0..1; all 0 where the values are equal."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
