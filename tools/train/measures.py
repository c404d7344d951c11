"""Figures of merit: normalised exact match, bootstrap interval, area under the curve, calibration error."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces."""
    words = re.sub(r"[^a-z0-9, ]", " ", text.lower()).replace(",", " ").split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def interval(groups: list[list[bool]], rounds: int = 1000) -> list[float]:
    """95 % bootstrap interval of a share, in percent; whole groups (the questions of a picture) are drawn."""
    right = np.asarray([sum(g) for g in groups], dtype=np.float64)
    count = np.asarray([len(g) for g in groups], dtype=np.float64)
    draws = np.random.default_rng(0).integers(0, len(groups), size=(rounds, len(groups)))
    shares = right[draws].sum(axis=1) / count[draws].sum(axis=1)
    return [round(100 * float(v), 1) for v in np.percentile(shares, [2.5, 97.5])]


def area_under_curve(score: list[float], right: list[bool]) -> float:
    """How often a right answer has a higher confidence than a wrong one."""
    good = np.sort([s for s, r in zip(score, right, strict=True) if r])
    bad = np.asarray([s for s, r in zip(score, right, strict=True) if not r])
    if not len(good) or not len(bad):
        return float("nan")
    above = len(good) - np.searchsorted(good, bad, side="right")
    equal = np.searchsorted(good, bad, side="right") - np.searchsorted(good, bad, side="left")
    return float((above + equal / 2).mean() / len(good))


def calibration_error(sure: NDArray[np.float64], right: NDArray[np.float64], bins: int = 10) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equally full bins."""
    groups = np.array_split(np.argsort(sure), bins)
    return float(sum(len(g) * abs(sure[g].mean() - right[g].mean()) for g in groups) / len(sure))
