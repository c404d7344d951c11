"""Logits and probabilities, and what a decision makes of its draft's gain out of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

Weights = tuple[float, float, float, float]
"""Of a logit: a constant, and of a draft the logit of its confidence, its largest entropy, its expected gain."""
_EDGE = 1e-4


def sigmoid(score: float) -> float:
    """1 / (1 + exp(-score)), for any finite score."""
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))


def logit(p: float) -> float:
    """log(p / (1 - p)), p clipped to 1e-4 .. 1 - 1e-4."""
    clipped = min(max(p, _EDGE), 1.0 - _EDGE)
    return math.log(clipped / (1.0 - clipped))


def weighed(weights: Sequence[float], confidence: float, entropy: float, gain: float) -> float:
    """A sum over what a draft shows: three weights, in the order of `Weights` without its constant."""
    return weights[0] * logit(confidence) + weights[1] * entropy + weights[2] * gain


def weighed_gain(weighs: tuple[Weights, Weights], confidence: float, entropy: float, gain: float) -> float:
    """What `Decision.weighs` says of a draft, -1..1."""
    cloud, device = (sigmoid(one[0] + weighed(one[1:], confidence, entropy, gain)) for one in weighs)
    return cloud - device
