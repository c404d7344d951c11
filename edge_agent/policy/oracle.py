"""The oracle of tables: it is told what each node will answer and how long it takes. An upper bound, no policy."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.config import PolicySettings
from edge_agent.policy.plans import PlanBook
from edge_agent.policy.simple import decided
from edge_agent.types import Decision, ModalityFeatures, Outcome, SystemState, Turn


class OraclePolicy:
    """`tell` it the truth of the next question, then `decide`. Untold, it stays on the device."""

    name = "oracle"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        self._second_worth = settings.second_worth
        self._usd_worth = settings.usd_worth
        self._book = PlanBook(codec)
        self._worths = (0.0, 0.0)

    def tell(self, right: Sequence[float], latency_ms: Sequence[float], cost_usd: Sequence[float] = (0.0, 0.0)) -> None:
        """Of (device, cloud): whether it will be right, how long it will take, what it will cost."""
        device, cloud = (
            r - self._second_worth * 0.001 * ms - self._usd_worth * usd
            for r, ms, usd in zip(right, latency_ms, cost_usd, strict=True)
        )
        self._worths = (device, cloud)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        device, cloud = self._worths
        self._worths = (0.0, 0.0)
        reason = f"will be worth {device:.3f} on the device, {cloud:.3f} in the cloud"
        return decided(self.name, cloud > device, reason, self._book, features, state)

    def observe(self, outcome: Outcome) -> None:
        """It knows everything already."""
