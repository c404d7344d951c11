"""What would change a decision: the value of each quantity at which another route would be taken, found by deciding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.types import Decision, Route, SystemState

STEPS = 24
Decide = Callable[[SystemState], Decision]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of the state that is varied from `low` to `high`, evenly on a logarithmic scale."""

    words: str
    unit: str
    field: str
    low: float
    high: float


QUANTITIES = (
    Quantity("uplink", "Mbit/s", "uplink_mbps", 0.01, 1000.0),
    Quantity("cloud's expected latency", "ms", "cloud_latency_estimate_ms", 1.0, 60_000.0),
    Quantity("device's expected latency", "ms", "local_latency_estimate_ms", 1.0, 60_000.0),
    Quantity("price of a cloud answer", "USD", "cloud_cost_estimate_usd", 1e-6, 10.0),
    Quantity("device's load", "tasks a core", "edge_load", 0.01, 10.0),
    Quantity("time that is left", "ms", "deadline_ms", 1.0, 60_000.0),
)
WORDS = {
    Route.LOCAL: "it stays on the device",
    Route.CLOUD: "it goes to the cloud",
    Route.CASCADE: "it is drafted here first",
}


def turning_points(decide: Decide, state: SystemState) -> list[str]:
    """A sentence for each quantity that alone would change the route, the others being as they are."""
    sentences = []
    for quantity in QUANTITIES:
        low, high = (_route(decide, state, quantity, value) for value in (quantity.low, quantity.high))
        if low is high:
            continue
        at = _turn(decide, state, quantity, low)
        now = getattr(state, quantity.field)
        known = f"is {now:.4g}" if now is not None else "is not known"
        sentences.append(
            f"{quantity.words} ({known}): below about {at:.3g} {quantity.unit} {WORDS[low]}, above {WORDS[high]}"
        )
    return sentences


def _route(decide: Decide, state: SystemState, quantity: Quantity, value: float) -> Route:
    changed: Any = {quantity.field: value}
    return decide(replace(state, **changed)).route


def _turn(decide: Decide, state: SystemState, quantity: Quantity, low: Route) -> float:
    """Where the route of the low end ends, by halving; the first such place if there are several near it."""
    begin, end = math.log(quantity.low), math.log(quantity.high)
    for _ in range(STEPS):
        middle = (begin + end) / 2
        if _route(decide, state, quantity, math.exp(middle)) is low:
            begin = middle
        else:
            end = middle
    return math.exp(end)
