"""Models of nodes with plain numbers, for tests of the policies that choose by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edge_agent.config import PolicySettings
from edge_agent.policy.predictors import NUMBERS, Gain, Linear, NodeModel, Odds, Predictors
from edge_agent.types import Decision, ImageFeatures, ModalityFeatures, Outcome, Route, SystemState
from edge_agent.types.odds import logit

IMAGE = ImageFeatures(640, 480, 6.0, np.full((2, 2), 6.0, np.float32), 0.2, 900.0)
ONLINE = SystemState(cloud_configured=True, uplink_mbps=20.0, rtt_ms=20.0, embedding_bytes_estimate=10_000)
SETTINGS = PolicySettings(accept_entropy=0.1)


def linear(one: float, **words: float) -> Linear:
    return Linear((one, *(0.0,) * (len(NUMBERS) - 1)), tuple(words.values()))


def node(right: float, service_ms: float, place: str = "edge", count: float = 0.0, **gain: Any) -> NodeModel:
    """A node that is right with that probability, of other questions than those that say `many`."""
    quality, none = linear(logit(right), many=count), linear(0.0, many=0.0)
    up = 10_000 if place == "cloud" else 0
    gains = gaining(**gain)
    return NodeModel(
        place, quality, quality, (0.0,) * 3, replace(none, numbers=(10.0, *none.numbers[1:])), 0.0,
        linear(service_ms, many=0.0), 1.0, up, 100, gains,
    )  # fmt: skip


def gaining(slope: float = 0.0, mean: float = 0.0, spread: float = 0.0) -> Gain:
    """Of a cloud that alone is right of a half more or less: by `mean` before the draft, by `slope` times its word."""
    here = Odds(linear(0.0, many=0.0), (0.0, 0.0, -2.0 * slope), linear(0.0, many=0.0))
    told = linear(logit(0.5 + mean), many=0.0)
    return Gain(Odds(told, (0.0, 0.0, 2.0 * slope), told), here, spread)


def pair(local: NodeModel, cloud: NodeModel) -> Predictors:
    return Predictors({"many": 0}, {"edge-1t": local, "cloud-overview": cloud, "cloud-tiles": cloud}, "a pair")


def asking(question: str = "what is this?", **parts: Any) -> ModalityFeatures:
    return ModalityFeatures(question=question, **{"image": IMAGE, **parts})


def outcome(decision: Decision, route: Route, latency_ms: float, confidence: float = 0.5, **more: Any) -> Outcome:
    return Outcome(decision, route, latency_ms, 0, 0.0, confidence, **more)
