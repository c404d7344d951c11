"""How far the confidence of answers can be believed: area under the curve, calibration error, the noise of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
BINS = 10
DRAWS = 500


def trust(confidence: Sequence[float], right: Sequence[bool], groups: Sequence[object], seed: int) -> dict[str, Any]:
    """Of answers with a confidence 0..1, whether each was right, and its group (the photo), which is drawn as a whole.

    `auc`: how often a right answer has the higher confidence of a right and a wrong one, None where all are alike;
    `auc_ci` its 95 % interval by a bootstrap over groups. `expected_calibration_error`: over ten equally full bins,
    the mean distance of confidence and share of right answers; `calibration_error_by_chance`: the same, on
    average, where answers are right exactly as often as their confidence says, which so few are not to the last.
    """
    sure, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    generator = np.random.default_rng(seed)
    if not len(sure):
        return dict.fromkeys(("auc", "auc_ci", "expected_calibration_error", "calibration_error_by_chance"))
    chance = [calibration_error(sure, (generator.random(len(sure)) < sure).astype(float)) for _ in range(DRAWS)]
    return {
        "auc": area_under_curve(sure, hits),
        "auc_ci": _interval(sure, hits, groups, generator),
        "expected_calibration_error": calibration_error(sure, hits),
        "calibration_error_by_chance": float(np.mean(chance)),
    }


def area_under_curve(sure: F64, right: F64) -> float | None:
    """Share of pairs of a right and a wrong answer in which the right one is surer, ties for half; None without one."""
    good, bad = np.sort(sure[right > 0]), sure[right == 0]
    if not len(good) or not len(bad):
        return None
    below, up_to = np.searchsorted(good, bad, side="left"), np.searchsorted(good, bad, side="right")
    return float((len(good) - (below + up_to) / 2).mean() / len(good))


def calibration_error(sure: F64, right: F64) -> float:
    """Expected calibration error of at least one answer, over BINS equally full bins."""
    bins = [part for part in np.array_split(np.argsort(sure, kind="stable"), BINS) if len(part)]
    return float(sum(len(p) * abs(sure[p].mean() - right[p].mean()) for p in bins) / len(sure))


def _interval(sure: F64, right: F64, groups: Sequence[object], generator: np.random.Generator) -> list[float] | None:
    members: dict[object, list[int]] = {}
    for at, group in enumerate(groups):
        members.setdefault(group, []).append(at)
    parts = [np.asarray(one) for one in members.values()]
    drawn = (np.concatenate([parts[i] for i in generator.integers(0, len(parts), len(parts))]) for _ in range(DRAWS))
    found = [area for one in drawn if (area := area_under_curve(sure[one], right[one])) is not None]
    return [float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))] if found else None
