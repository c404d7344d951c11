"""QLMIO: predict quality and latency of each node for this question, then choose the node.

After arXiv 2606.15210. MGQP predicts whether a node completes the task, MILP how long it takes; the choice trades the
two. Their equations are not public to us; the rule and the predictors are **our construction**:

    n* = argmax_n  q(x, n) - lambda * (t_upload(x, n) + t_queue(n) + t_infer(x, n)) / T_ref,   T_ref = 1 s

`choose` takes any number of nodes; `decide` is the running agent's pair of device and cloud.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.estimates import Estimate, Estimator, NodeView
from edge_agent.policy.plans import PlanBook, goes_up_bytes
from edge_agent.policy.predictors import Predictors
from edge_agent.types import Decision, ModalityFeatures, Outcome, Route, SystemState, Turn


class QlmioPolicy:
    """Takes the node of the largest worth. Its state: what outcomes taught about each node's speed and quality."""

    name = "qlmio"

    def __init__(self, settings: PolicySettings, predictors: Predictors, codec: str = "int8-zstd") -> None:
        self._second_worth = settings.second_worth
        self._estimator = Estimator(predictors)
        self._book = PlanBook(codec)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        seen = self._estimator.see(features)
        sent_bytes = goes_up_bytes(features, state)
        here, there = pair = self._estimator.pair(seen, state, sent_bytes)
        local, cloud = self.worth(here), self.worth(there)
        up = cloud > local and bool(sent_bytes is None or sent_bytes > 0)
        best = there if up else here
        self._estimator.remember(best.quality, pair)
        return Decision(
            route=Route.CLOUD if up else Route.LOCAL,
            policy=self.name,
            reason=f"device: {_words(here, local)}; cloud: {_words(there, cloud)}",
            plans=self._book.plans(features, state, up),
            predicted_quality=best.quality,
            predicted_latency_ms=best.latency_ms,
            predicted_bytes=there.bytes_up if up else 0,
            predicted_cost_usd=best.cost_usd,
        )

    def observe(self, outcome: Outcome) -> None:
        """Learn how fast and how sure the node was that answered; the weights themselves stay as shipped."""
        if outcome.decision.policy == self.name:
            self._estimator.observe(outcome)

    def choose(self, features: ModalityFeatures, nodes: Sequence[NodeView]) -> tuple[int, list[Estimate]]:
        """(place of the best node, what is expected of each). Raises ValueError without nodes, KeyError for a profile
        that was not measured.
        """
        seen = self._estimator.see(features)
        expected = [self._estimator.estimate(seen, node) for node in nodes]
        if not expected:
            raise ValueError("there is no node to choose from")
        return max(range(len(expected)), key=lambda at: self.worth(expected[at])), expected

    def worth(self, expected: Estimate) -> float:
        """q - lambda t / T_ref, in right answers a question."""
        return expected.quality - self._second_worth * 0.001 * expected.latency_ms

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON can hold it."""
        return self._estimator.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up an earlier `state`. Raises ValueError where it does not fit."""
        self._estimator.restore(state)


def _words(expected: Estimate, worth: float) -> str:
    return f"right {expected.quality:.3f}, {expected.latency_ms:.0f} ms, worth {worth:.3f}"
