"""The oracle of tables: it is told what each node will answer and how long it takes. An upper bound, no policy."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.config import PolicySettings
from edge_agent.policy.plans import PlanBook
from edge_agent.policy.simple import decided
from edge_agent.types import Decision, ModalityFeatures, Outcome, SystemState, Turn

UNTOLD = (0.0, 0.0, 0.0)


class OraclePolicy:
    """`tell` it the truth of the next question, then `decide`. Untold, it stays on the device."""

    name = "oracle"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        self._second_worth = settings.second_worth
        self._usd_worth = settings.usd_worth
        self._book = PlanBook(codec)
        self._worths = UNTOLD

    def tell(
        self, right: Sequence[float], latency_ms: Sequence[float], cost_usd: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> None:
        """Of device, cloud, and cloud with a picture's overview alone: whether it will be right, how long it will take,
        what it will cost.
        """
        device, cloud, overview = (
            r - self._second_worth * 0.001 * ms - self._usd_worth * usd
            for r, ms, usd in zip(right, latency_ms, cost_usd, strict=True)
        )
        self._worths = (device, cloud, overview)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        device, cloud, overview = self._worths
        self._worths = UNTOLD
        reason = f"will be worth {device:.3f} on the device, {cloud:.3f} in the cloud, {overview:.3f} by its overview"
        up, alone = max(cloud, overview) > device, overview > cloud
        return decided(self.name, up, reason, self._book, features, state, overview=alone)

    def observe(self, outcome: Outcome) -> None:
        """It knows everything already."""
