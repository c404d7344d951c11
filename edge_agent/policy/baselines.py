"""Policies that ignore what they see: always the device, always the cloud. `--route` uses them, tables compare them."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.policy.base import upload_bytes
from edge_agent.types import (
    Action,
    Decision,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    Outcome,
    Route,
    SystemState,
    Turn,
)


class ConstantPolicy:
    """Sends every question the same way. `route` is LOCAL or CLOUD."""

    def __init__(self, route: Route, codec: str = "int8-zstd") -> None:
        if route not in (Route.LOCAL, Route.CLOUD):
            raise ValueError(f"a constant policy is local or cloud, not {route.value}")
        self.name = route.value
        self._route = route
        self._codec = codec

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        up = self._route is Route.CLOUD
        present = [Modality.IMAGE] * (features.image is not None) + [Modality.AUDIO] * (features.sound is not None)
        plans = tuple(self._plan(m, m in state.encodable) for m in present)
        return Decision(
            route=self._route,
            policy=self.name,
            reason=f"always {self.name}, as asked",
            plans=plans,
            predicted_latency_ms=state.cloud_latency_estimate_ms if up else state.local_latency_estimate_ms,
            predicted_bytes=upload_bytes(plans, state),
            predicted_cost_usd=state.cloud_cost_estimate_usd if up else 0.0,
        )

    def observe(self, outcome: Outcome) -> None:
        """Nothing to learn."""

    def _plan(self, modality: Modality, encodable: bool) -> ModalityPlan:
        if not encodable:
            return ModalityPlan(modality, Action.DROP, reason="the model has no encoder for it")
        if self._route is Route.CLOUD:
            return ModalityPlan(modality, Action.UPLOAD, self._codec, reason="as asked")
        return ModalityPlan(modality, Action.KEEP, reason="as asked")
