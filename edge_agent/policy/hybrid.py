"""hybrid, ours: draft on the device, and go up only where the expected gain is worth what going up costs.

    price    second_worth * t + usd_worth * money + megabyte_worth * megabytes, t: seconds that going up adds    [ours]
    G        P(only the cloud is right | x, d) - P(only the device is | x, d) + m: x the question and its picture, d
             what the draft shows (logit of confidence, entropy, the model's own word), both logistic, fitted on the
             measured table; m: what outcomes taught
    goes up  iff G >= price
    u, E[G]  before the draft G is taken as normal around the same difference without d: how often it will go up, and
             what that brings
    views    all of these twice: with all views of a picture, and with its overview alone, which the device has encoded
             for itself already
    route    the largest of: device alone 0; draft first u * (E[G | up] - price); cloud E[G] - price + the draft's time

It needs no probe: the picture is encoded for either node, and the draft costs a few tokens. What outcomes teach about
each node's speed and quality moves price and G (edge_agent.policy.estimates).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.estimates import Estimate, Estimator
from edge_agent.policy.plans import PlanBook, goes_up_bytes
from edge_agent.policy.predictors import Gain, Predictors, Seen
from edge_agent.types import Decision, ModalityFeatures, Outcome, Route, SystemState, Turn

HARDLY_EVER = 0.005  # a draft that goes up less often than this is not worth its cloud
_ROOT_2 = math.sqrt(2.0)
_ROOT_2_PI = math.sqrt(2.0 * math.pi)


@dataclass(slots=True)  # not frozen: that costs three times its making
class _Way:
    """One way of going up: what is expected here and there, from which G on, and which part of drafts that will be."""

    overview: bool
    here: Estimate
    there: Estimate
    gain: Gain
    price: float
    least: float
    often: float
    drafted: float
    at_once: float

    @property
    def best(self) -> float:
        return max(self.drafted, self.at_once)


class HybridPolicy:
    """Takes the route of the largest expected worth. Its state: what outcomes taught about both nodes."""

    name = "hybrid"

    def __init__(
        self, settings: PolicySettings, predictors: Predictors, codec: str = "int8-zstd", *, all_views: bool = False
    ) -> None:
        """`all_views`: never the overview alone, for tables that ask what that brings."""
        self._settings = settings
        self._estimator = Estimator(predictors)
        self._book = PlanBook(codec)
        self._all_views = all_views

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        seen = self._estimator.see(features)
        sent_bytes = goes_up_bytes(features, state)
        way = self._way(seen, state, sent_bytes, overview=False)
        if state.upload_views > 1 and features.image is not None and not self._all_views:
            fewer_bytes = goes_up_bytes(features, state, overview=True)
            other = self._way(seen, state, fewer_bytes, overview=True, known=way.here)
            way = other if other.best >= way.best else way
        if sent_bytes != 0 and way.at_once > max(0.0, way.drafted):
            route, why, share = Route.CLOUD, f"a draft is not worth its {way.here.away_ms:.0f} ms", 1.0
        elif sent_bytes == 0 or way.least > 1.0 or way.often < HARDLY_EVER:
            route, why, share = Route.LOCAL, "no draft will gain enough by going up", 0.0
        else:
            why = f"a draft goes up from an expected gain of {way.least:.3f}, {way.often:.0%} of such do"
            route, share = Route.CASCADE, way.often
        here, there = way.here, way.there
        self._estimator.remember(here.quality, (here, there))
        added_ms, drafts = _added_ms(here, there), route is Route.CASCADE
        spared_ms = here.away_ms if route is Route.CLOUD else 0.0
        return Decision(
            route=route,
            policy=self.name,
            reason=f"{why}; right here {here.quality:.3f} in {here.latency_ms:.0f} ms, there {there.quality:.3f} "
            f"for {added_ms:.0f} ms more: going up costs {way.price:.3f} answers",
            plans=self._book.plans(features, state, route is not Route.LOCAL, way.overview),
            accept_entropy=self._settings.accept_entropy if drafts else None,
            min_gain=max(-1.0, way.least) if drafts else None,
            predicted_quality=here.quality,
            predicted_latency_ms=here.latency_ms - spared_ms + share * added_ms,
            predicted_bytes=round(share * there.bytes_up),
            predicted_cost_usd=share * there.cost_usd,
            weighs=way.gain.weighs(seen) if drafts and not self._calibrated else None,
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

    @property
    def _calibrated(self) -> bool:
        """Whether `edge-agent calibrate` set the threshold, on the model's own word; it wins over the price."""
        return self._settings.min_gain <= 1.0

    def _way(
        self, seen: Seen, state: SystemState, sent_bytes: int | None, overview: bool, known: Estimate | None = None
    ) -> _Way:
        estimator = self._estimator
        here, there = estimator.pair(seen, state, sent_bytes, overview, known)
        gain = estimator.cloud_model(state, overview).gain
        moved = estimator.moved(there.node, there.quality) - estimator.moved(here.node, here.quality)
        before, price = gain.before(seen) + moved, self.price(_added_ms(here, there), there)
        often, brings = _expected(price, before, gain.spread)
        spared = self._settings.second_worth * 0.001 * here.away_ms
        least = self._settings.min_gain if self._calibrated else price - moved
        drafted, at_once = often * (brings - price), before - price + spared
        return _Way(overview, here, there, gain, price, least, often, drafted, at_once)


def _added_ms(here: Estimate, there: Estimate) -> float:
    """What going up adds to a draft that was made."""
    return there.latency_ms - here.latency_ms + here.away_ms


def _expected(least: float, mean: float, spread: float) -> tuple[float, float]:
    """(how often G reaches `least`, E[G] of those that do), G normal."""
    spread = max(spread, 1e-4)
    far = (least - mean) / spread
    often = 0.5 * math.erfc(far / _ROOT_2)
    if often < 1e-9:
        return 0.0, 0.0
    above = math.exp(-0.5 * far * far) / _ROOT_2_PI / often  # mean of a standard normal above `far`
    return often, mean + spread * above
