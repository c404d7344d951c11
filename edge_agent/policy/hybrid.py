"""hybrid, ours: draft on the device, and go up only where the expected gain is worth what going up costs.

    price    second_worth * t + usd_worth * money + megabyte_worth * megabytes, t: seconds that going up adds    [ours]
    G        a + b * g + c * D      expected gain of the cloud: g is what the model expects from its own draft, D the
             difference of both nodes' predicted quality before it; a, b, c fitted on the measured table
    goes up  iff G >= price, that is g >= (price - a - c * D) / b: the threshold of this question's draft
    u, E[G]  before the draft, g is taken as normal around d0 + d1 * D: how often it will go up, and what that brings
    route    the largest of: device alone 0; draft first u * (E[G | up] - price); cloud E[G] - price + the draft's time

It needs no probe: the picture is encoded for either node, and the draft costs a few tokens. What outcomes teach about
each node's speed and quality moves price and D (edge_agent.policy.estimates).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.estimates import Estimate, Estimator
from edge_agent.policy.plans import PlanBook, goes_up_bytes
from edge_agent.policy.predictors import NodeModel, Predictors
from edge_agent.types import Decision, ModalityFeatures, Outcome, Route, SystemState, Turn

HARDLY_EVER = 0.005  # a draft that goes up less often than this is not worth its cloud
LEAST_SLOPE = 0.05
_ROOT_2 = math.sqrt(2.0)
_ROOT_2_PI = math.sqrt(2.0 * math.pi)


class HybridPolicy:
    """Takes the route of the largest expected worth. Its state: what outcomes taught about both nodes."""

    name = "hybrid"

    def __init__(self, settings: PolicySettings, predictors: Predictors, codec: str = "int8-zstd") -> None:
        self._settings = settings
        self._estimator = Estimator(predictors)
        self._book = PlanBook(codec)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        sent_bytes = goes_up_bytes(features, state)
        seen = self._estimator.see(features)
        here, there = pair = self._estimator.pair(seen, state, sent_bytes)
        better = there.quality - here.quality
        added_ms = there.latency_ms - here.latency_ms + here.away_ms
        price, model = self.price(added_ms, there), self._estimator.cloud_model(state)
        least = self._least_gain(price, better, model)
        often, brings = _expected(least, better, model)
        drafted = often * (brings - price)  # what drafting first brings over the device alone
        at_once = _gain_at(better, model) - price + self._settings.second_worth * 0.001 * here.away_ms
        if sent_bytes != 0 and at_once > max(0.0, drafted):
            route, why, share = Route.CLOUD, "a draft is not worth its time", 1.0
        elif sent_bytes == 0 or least > 1.0 or often < HARDLY_EVER:
            route, why, share = Route.LOCAL, "no draft will gain enough by going up", 0.0
        else:
            why = f"a draft goes up from an expected gain of {least:.3f}, {often:.0%} of such do"
            route, share = Route.CASCADE, often
        self._estimator.remember(here.quality, pair)
        spared_ms = here.away_ms if route is Route.CLOUD else 0.0
        return Decision(
            route=route,
            policy=self.name,
            reason=f"{why}; right here {here.quality:.3f} in {here.latency_ms:.0f} ms, there {there.quality:.3f} "
            f"for {added_ms:.0f} ms more: going up costs {price:.3f} answers",
            plans=self._book.plans(features, state, route is not Route.LOCAL),
            accept_entropy=self._settings.accept_entropy if route is Route.CASCADE else None,
            min_gain=max(-1.0, least) if route is Route.CASCADE else None,
            predicted_quality=here.quality,
            predicted_latency_ms=here.latency_ms - spared_ms + share * added_ms,
            predicted_bytes=round(share * there.bytes_up),
            predicted_cost_usd=share * there.cost_usd,
        )

    def observe(self, outcome: Outcome) -> None:
        """Learn how fast and how sure the node was that answered."""
        if outcome.decision.policy == self.name:
            self._estimator.observe(outcome)

    def price(self, added_ms: float, there: Estimate) -> float:
        """What going up costs, in right answers a question."""
        worth = self._settings
        waiting = worth.second_worth * 0.001 * max(0.0, added_ms)
        return waiting + worth.usd_worth * there.cost_usd + worth.megabyte_worth * 1e-6 * there.bytes_up

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON can hold it."""
        return self._estimator.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up an earlier `state`. Raises ValueError where it does not fit."""
        self._estimator.restore(state)

    def _least_gain(self, price: float, better: float, model: NodeModel) -> float:
        """The threshold on the draft's expected gain; what `edge-agent calibrate` set wins over the price."""
        if self._settings.min_gain <= 1.0:
            return self._settings.min_gain
        always, slope, by_nodes = model.gain
        return (price - always - by_nodes * better) / max(slope, LEAST_SLOPE)


def _gain_at(better: float, model: NodeModel) -> float:
    """E[G] before the draft."""
    always, slope, by_nodes = model.gain
    mean, by_better, _ = model.draft_gain
    return always + by_nodes * better + slope * (mean + by_better * better)


def _expected(least: float, better: float, model: NodeModel) -> tuple[float, float]:
    """(how often g reaches `least`, E[G] of those that do)."""
    mean, by_better, spread = model.draft_gain
    spread = max(spread, 1e-3)
    far = (least - mean - by_better * better) / spread
    often = 0.5 * math.erfc(far / _ROOT_2)
    if often < 1e-9:
        return 0.0, 0.0
    above = math.exp(-0.5 * far * far) / _ROOT_2_PI / often  # mean of a standard normal above `far`
    return often, _gain_at(better, model) + model.gain[1] * spread * above
