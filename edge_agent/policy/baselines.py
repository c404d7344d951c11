"""Policies that ignore what they see: always the device, always the cloud. `--route` uses them, tables compare them."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.policy.plans import PlanBook, goes_up_bytes
from edge_agent.types import Decision, ModalityFeatures, Outcome, Route, SystemState, Turn


class ConstantPolicy:
    """Sends every question the same way, also one of words alone. `route` is LOCAL or CLOUD."""

    def __init__(self, route: Route, codec: str = "int8-zstd") -> None:
        if route not in (Route.LOCAL, Route.CLOUD):
            raise ValueError(f"a constant policy is local or cloud, not {route.value}")
        self.name = route.value
        self._route = route
        self._up = route is Route.CLOUD
        self._reason = f"always {self.name}, as asked"
        self._book = PlanBook(codec)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        return Decision(
            self._route,
            self.name,
            self._reason,
            self._book.plans(features, state, self._up),
            predicted_latency_ms=state.cloud_latency_estimate_ms if self._up else state.local_latency_estimate_ms,
            predicted_bytes=goes_up_bytes(features, state) if self._up else 0,
            predicted_cost_usd=state.cloud_cost_estimate_usd if self._up else 0.0,
        )

    def observe(self, outcome: Outcome) -> None:
        """Nothing to learn."""
