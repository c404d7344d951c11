"""Expected quality, latency, bytes and price of a question on each node: the shipped predictors, moved by outcomes.

Two numbers a node are learned on the device, both bounded: how much longer it takes than was measured on our machine
(a factor), and how much more or less often it is right (a shift of the logit), by the confidence of its answers. This
is **our construction**.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.policy.predictors import NodeModel, Predictors, Seen
from edge_agent.types import ModalityFeatures, Outcome, Route, SystemState
from edge_agent.types.odds import logit, sigmoid

LOCAL, CLOUD, CLOUD_TILES = "edge-1t", "cloud-overview", "cloud-tiles"
UNKNOWN_MBPS = 20.0
UNKNOWN_RTT_MS = 40.0
LARGEST_FACTOR = 50.0
LARGEST_SHIFT = 2.0
WANDERS = 0.5
"""Two standard deviations of a shift that has nothing to learn: sqrt(SHIFT_STEP / 2) * 0.3 / 0.2, the spread of
confidences around what was expected, and what a logit does to a share.
"""
FACTOR_WEIGHT = 0.1  # of one outcome, once a few were seen
SHIFT_STEP = 0.05
KEPT_DECISIONS = 64
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it is at this moment: the profile that predicts it, and what waits in front of it.

    `mbps` and `rtt_ms` of the link to it, None for the device itself; `queue_ms` until it begins; `cost_usd` of an
    answer; `bytes_up` of an upload, None: as measured.
    """

    name: str
    profile: str
    mbps: float | None = None
    rtt_ms: float | None = None
    queue_ms: float = 0.0
    cost_usd: float = 0.0
    bytes_up: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one node is expected to do: `quality` 0..1, `latency_ms` of the whole question, `bytes_up`, `cost_usd`.

    `away_ms` of the latency begin once the device has encoded it (transfer, queue, decoder). `model_ms` is what
    outcomes are held against: the whole for the device, else what is away, as models and earlier outcomes say.
    """

    node: str
    quality: float
    latency_ms: float
    away_ms: float
    model_ms: float
    bytes_up: int
    cost_usd: float


@dataclass(slots=True)
class _Learned:
    """Of one node: `factor` on milliseconds, `shift` of the logit of being right, and how many outcomes taught them."""

    factor: float = 1.0
    shift: float = 0.0
    timed: int = 0
    judged: int = 0


_UNTAUGHT = _Learned()


class Estimator:
    """Estimates for any number of nodes. `remember` what was estimated, and `observe` every outcome."""

    def __init__(self, predictors: Predictors) -> None:
        self.predictors = predictors
        self._learned: dict[str, _Learned] = {}
        self._pending: OrderedDict[float, tuple[Estimate, Estimate]] = OrderedDict()

    def see(self, features: ModalityFeatures) -> Seen:
        return self.predictors.see(features)

    def estimate(self, seen: Seen, node: NodeView) -> Estimate:
        """Raises KeyError for a profile that was not measured."""
        model = self.predictors.nodes[node.profile]
        learned = self._learned.get(node.name) or _UNTAUGHT
        quality = sigmoid(model.quality(seen) + learned.shift)
        if node.mbps is None:
            decode_ms = learned.factor * model.in_decoder_ms(seen)
            whole_ms = decode_ms + learned.factor * (model.on_device_ms(seen) + model.overhead_ms)
            waits = node.queue_ms
            return Estimate(node.name, quality, whole_ms + waits, decode_ms + waits, whole_ms, 0, node.cost_usd)
        size = model.bytes_up if node.bytes_up is None else node.bytes_up
        sent_ms = (UNKNOWN_RTT_MS if node.rtt_ms is None else node.rtt_ms) + 0.008 * size / max(node.mbps, 1e-3)
        model_ms = learned.factor * (model.in_decoder_ms(seen) + model.overhead_ms + sent_ms)
        away_ms = model_ms + node.queue_ms
        device = self._learned.get("local") or _UNTAUGHT
        whole_ms = device.factor * model.on_device_ms(seen) + away_ms
        return Estimate(node.name, quality, whole_ms, away_ms, model_ms, size, node.cost_usd)

    def pair(
        self,
        seen: Seen,
        state: SystemState,
        sent_bytes: int | None,
        overview: bool = False,
        here: Estimate | None = None,
    ) -> tuple[Estimate, Estimate]:
        """(device, cloud) of the running agent, from what its monitors know; `overview`: of a picture that goes up
        as a whole alone. `here`: of the device, where an earlier call has said it.
        """
        mbps = UNKNOWN_MBPS if state.uplink_mbps is None else state.uplink_mbps
        cloud = NodeView(
            "cloud",
            _profile(state, overview),
            mbps,
            state.rtt_ms,
            cost_usd=state.cloud_cost_estimate_usd,
            bytes_up=sent_bytes,
        )
        if here is None:
            here = self.estimate(seen, NodeView("local", LOCAL))
        return self._by_monitors(here, self.estimate(seen, cloud), state)

    def cloud_model(self, state: SystemState, overview: bool = False) -> NodeModel:
        """The profile that `pair` takes for the cloud."""
        return self.predictors.nodes[_profile(state, overview)]

    def moved(self, name: str, quality: float) -> float:
        """How much of a predicted `quality` 0..1 is what outcomes taught of the node, beyond what a shift wanders by
        itself.
        """
        shift = (self._learned.get(name) or _UNTAUGHT).shift
        beyond = math.copysign(max(0.0, abs(shift) - WANDERS), shift)
        return quality - sigmoid(logit(quality) - beyond) if beyond else 0.0

    def remember(self, mark: float, pair: tuple[Estimate, Estimate]) -> None:
        """Keep what was estimated until the outcome comes. `mark`: the predicted quality, which guards keep."""
        self._pending[mark] = pair
        if len(self._pending) > KEPT_DECISIONS:
            self._pending.popitem(last=False)

    def observe(self, outcome: Outcome) -> None:
        """Move the factors by what the question took, the shifts by how sure its answers were."""
        mark = outcome.decision.predicted_quality
        pair = None if mark is None else self._pending.pop(mark, None)
        if pair is None or outcome.error is not None:
            return
        here, there = pair
        chosen_by_draft = outcome.decision.route is Route.CASCADE  # a hard question goes up: no sample of all of them
        if outcome.route is Route.LOCAL:
            if outcome.bytes_up == 0:  # else a cloud that failed is in it
                self._time("local", here.model_ms, outcome.latency_ms)
            if not chosen_by_draft:
                self._judge("local", here.quality, outcome.confidence)
            return
        drafted = outcome.draft_accepted is not None
        before_ms = there.latency_ms - there.away_ms + (here.away_ms if drafted else 0.0)
        self._time("cloud", there.model_ms, max(1.0, outcome.latency_ms - before_ms))
        if not chosen_by_draft:
            self._judge("cloud", there.quality, outcome.confidence)

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON can hold it."""
        learned = {n: [v.factor, v.shift, v.timed, v.judged] for n, v in self._learned.items()}
        return {"version": STATE_VERSION, "measured_with": self.predictors.measured_with, "nodes": learned}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what was learned earlier. Raises ValueError where it does not fit these predictors."""
        if state.get("version") != STATE_VERSION or state.get("measured_with") != self.predictors.measured_with:
            raise ValueError("it was learned with other models or another version")
        nodes = state.get("nodes")
        if not isinstance(nodes, dict) or len(nodes) > KEPT_DECISIONS:
            raise ValueError("it lists no nodes")
        made = {}
        for name, row in nodes.items():
            factor, shift, timed, judged = _four(row)
            if not (1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR and abs(shift) <= LARGEST_SHIFT):
                raise ValueError(f"what was learned of {name!r:.40} is out of range")
            made[str(name)] = _Learned(factor, shift, int(timed), int(judged))
        self._learned = made

    def _by_monitors(self, here: Estimate, there: Estimate, state: SystemState) -> tuple[Estimate, Estimate]:
        """Until outcomes were seen, what the monitors measured wins over what was measured on our machine."""
        local_ms, cloud_ms = state.local_latency_estimate_ms, state.cloud_latency_estimate_ms
        if local_ms is not None and not self._timed("local"):
            here = _with_away(here, local_ms)
        if cloud_ms is not None and not self._timed("cloud"):
            there = _with_away(there, cloud_ms)
        return here, there

    def _timed(self, name: str) -> bool:
        learned = self._learned.get(name)
        return learned is not None and learned.timed > 0

    def _time(self, name: str, expected_ms: float, took_ms: float) -> None:
        learned = self._learned.setdefault(name, _Learned())
        weight = max(FACTOR_WEIGHT, 1.0 / (learned.timed + 2.0))
        ratio = min(4.0, max(0.25, took_ms / max(expected_ms, 1e-3)))
        moved = learned.factor * math.exp(weight * math.log(ratio))
        learned.factor = min(LARGEST_FACTOR, max(1.0 / LARGEST_FACTOR, moved))
        learned.timed = min(learned.timed + 1, 1_000_000)

    def _judge(self, name: str, expected: float, share: float) -> None:
        learned = self._learned.setdefault(name, _Learned())
        step = max(SHIFT_STEP, 1.0 / (learned.judged + 10.0))
        moved = learned.shift + step * (min(1.0, max(0.0, share)) - expected)
        learned.shift = min(LARGEST_SHIFT, max(-LARGEST_SHIFT, moved))
        learned.judged = min(learned.judged + 1, 1_000_000)


def _profile(state: SystemState, overview: bool) -> str:
    return CLOUD_TILES if state.upload_views > 1 and not overview else CLOUD


def _with_away(estimate: Estimate, away_ms: float) -> Estimate:
    latency_ms = estimate.latency_ms - estimate.away_ms + away_ms
    return replace(estimate, latency_ms=latency_ms, away_ms=away_ms)


def _four(row: Any) -> Sequence[float]:
    fine = isinstance(row, list) and len(row) == 4
    if not fine or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in row):
        raise ValueError("what was learned of a node is not four numbers")
    return [float(value) for value in row]


__all__ = ["CLOUD", "CLOUD_TILES", "LOCAL", "Estimate", "Estimator", "NodeModel", "NodeView", "logit"]
