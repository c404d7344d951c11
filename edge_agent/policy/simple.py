"""Baselines that tables compare with: by chance, by one feature, by the confidence of the draft alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.plans import PlanBook, goes_up_bytes
from edge_agent.types import Decision, ModalityFeatures, Outcome, Route, SystemState, Turn

STATE_VERSION = 1
_LOCAL, _CLOUD = Route.LOCAL, Route.CLOUD  # looking a member up takes as long as a small decision's step
_MULTIPLIER, _INCREMENT, _MODULUS = 6364136223846793005, 1442695040888963407, 1 << 64


class RandomPolicy:
    """Goes up with the probability `random_share`. Its numbers come from its own state: the same state, the same route.

    The generator is Knuth's 64-bit linear congruential one, of which the upper bits are taken.
    """

    name = "random"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd", seed: int = 1) -> None:
        self._share = settings.random_share
        self._book = PlanBook(codec)
        self._number = seed % _MODULUS

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        self._number = (self._number * _MULTIPLIER + _INCREMENT) % _MODULUS
        drawn = (self._number >> 33) / (1 << 31)
        reason = f"drew {drawn:.3f}, goes up below {self._share:.3f}"
        return decided(self.name, drawn < self._share, reason, self._book, features, state)

    def observe(self, outcome: Outcome) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, Any]:
        return {"version": STATE_VERSION, "number": str(self._number)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up an earlier `state`. Raises ValueError where it does not fit."""
        text = state.get("number")
        if state.get("version") != STATE_VERSION or not isinstance(text, str) or not text.isdigit() or len(text) > 20:
            raise ValueError("it holds no number of this generator")
        self._number = int(text) % _MODULUS


class ThresholdPolicy:
    """Goes up where one feature, scaled to 0..1, is above `threshold`."""

    name = "threshold"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        self._feature = settings.threshold_feature
        self._threshold = settings.threshold
        self._read = FEATURES[settings.threshold_feature]
        self._book = PlanBook(codec)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        value = self._read(features)
        up = value > self._threshold
        reason = f"{self._feature} = {value:.3f} {'>' if up else '<='} {self._threshold:.3f}"
        return decided(self.name, up, reason, self._book, features, state)

    def observe(self, outcome: Outcome) -> None:
        """Nothing to learn."""


class CascadePolicy:
    """Always drafts on the device; the draft's own confidence alone decides what goes up."""

    name = "cascade"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        self._accept_entropy = max(0.0, settings.accept_entropy)
        self._min_gain = settings.min_gain if settings.min_gain <= 1.0 else None
        by_gain = f"an expected gain of {settings.min_gain:.3f}"
        self._reason = f"a draft goes up from {by_gain if self._min_gain is not None else self._by_entropy()} on"
        self._book = PlanBook(codec)

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        if goes_up_bytes(features, state) == 0:
            return decided(self.name, False, "there is nothing that can go up", self._book, features, state)
        return Decision(
            route=Route.CASCADE,
            policy=self.name,
            reason=self._reason,
            plans=self._book.plans(features, state, True),
            accept_entropy=self._accept_entropy,
            min_gain=self._min_gain,
            predicted_latency_ms=state.local_latency_estimate_ms,
            predicted_bytes=goes_up_bytes(features, state),
            predicted_cost_usd=state.cloud_cost_estimate_usd,
        )

    def observe(self, outcome: Outcome) -> None:
        """Nothing to learn: `edge-agent calibrate` sets the threshold."""

    def _by_entropy(self) -> str:
        return f"an entropy above {self._accept_entropy:.3f}"


def decided(
    policy: str,
    up: bool,
    reason: str,
    book: PlanBook,
    features: ModalityFeatures,
    state: SystemState,
    *,
    overview: bool = False,
) -> Decision:
    """The decision of a policy that only says up or not. What nothing can be sent of stays."""
    sent_bytes = goes_up_bytes(features, state, overview) if up else 0
    up = up and sent_bytes != 0
    return Decision(
        _CLOUD if up else _LOCAL,
        policy,
        reason,
        book.plans(features, state, up, overview),
        predicted_latency_ms=state.cloud_latency_estimate_ms if up else state.local_latency_estimate_ms,
        predicted_bytes=sent_bytes,
        predicted_cost_usd=state.cloud_cost_estimate_usd if up else 0.0,
    )


def _entropy(features: ModalityFeatures) -> float:
    return 0.0 if features.image is None else 0.125 * features.image.entropy_bits


def _edges(features: ModalityFeatures) -> float:
    return 0.0 if features.image is None else features.image.edge_density


def _laplacian(features: ModalityFeatures) -> float:
    return 0.0 if features.image is None else min(1.0, 0.1 * math.log1p(max(0.0, features.image.laplacian_variance)))


def _length(features: ModalityFeatures) -> float:
    return min(1.0, 0.05 * (features.question.count(" ") + 1))


FEATURES: Mapping[str, Callable[[ModalityFeatures], float]] = {
    "entropy": _entropy,
    "edges": _edges,
    "laplacian": _laplacian,
    "length": _length,
}
