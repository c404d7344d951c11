"""Linear models by Newton's method and by ridge regression, judged across photos; and their plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Fit = Callable[[F64, F64], F64]
BINS = 10


@dataclass(frozen=True, slots=True)
class Design:
    """`x` [n, f] whose first column is one, `megapixels` [n], `folds` [n] by photo."""

    x: F64
    megapixels: F64
    folds: NDArray[np.int64]


def logistic(x: F64, y: F64, penalty: float = 2e-3) -> F64:
    """Weights of a logistic regression of `y` 0 or 1 on `x`, whose first column is not penalised."""
    weights = np.zeros(x.shape[1])
    ridge_of = penalty * len(x) * np.array([0.0] + [1.0] * (x.shape[1] - 1))
    for _ in range(40):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ weights, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge_of + 1e-9)
        step = np.linalg.solve(hessian, x.T @ (y - p) - ridge_of * weights)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def ridge(x: F64, y: F64, penalty: float = 1e-3) -> F64:
    """Weights of a small relative error: each row counts by 1 / y; odd ones (over 1.5 of the fit) are left out."""
    kept = np.ones(len(y), dtype=bool)
    weights = np.zeros(x.shape[1])
    for _ in range(3):
        scaled, target = x[kept] / y[kept, None], np.ones(int(kept.sum()))
        normal = scaled.T @ scaled + penalty * np.diag((scaled**2).sum(axis=0) + 1e-12)
        weights = np.linalg.solve(normal, scaled.T @ target)
        kept = np.abs(np.log(np.maximum(x @ weights, 1e-3) / y)) < np.log(1.5)
        if kept.sum() < len(y) // 2:
            return weights
    return np.asarray(weights)


def least_squares(x: F64, y: F64, penalty: float = 1e-3) -> F64:
    """Weights of a plain regression, the first column not penalised."""
    damped = penalty * len(x) * np.diag([0.0] + [1.0] * (x.shape[1] - 1))
    return np.asarray(np.linalg.solve(x.T @ x + damped, x.T @ y))


def recovered(score: F64, gained: F64, share: float = 0.3) -> float:
    """Which part of the whole gain comes with the `share` of questions of the highest score; NaN where none is."""
    sent = np.argsort(-score, kind="stable")[: round(share * len(score))]
    return round(float(gained[sent].sum() / gained.sum()), 3) if gained.sum() > 0 else float("nan")


def cross_fit(x: F64, y: F64, folds: NDArray[np.int64], fit: Fit) -> F64:
    """[n] predictions, each by weights fitted without its fold; probabilities where `fit` is `logistic`."""
    predicted = np.zeros(len(y))
    for fold in np.unique(folds):
        own = folds == fold
        predicted[own] = x[own] @ fit(x[~own], y[~own])
    return 1.0 / (1.0 + np.exp(-predicted)) if fit is logistic else predicted


def ranked(score: F64, right: F64) -> float:
    """Area under the curve: how often a right answer has the higher score; ties count half."""
    order = np.unique(score, return_inverse=True)[1]
    ranks = np.zeros(len(score))
    counts = np.bincount(order)
    starts = np.cumsum(counts) - counts
    ranks = starts[order] + (counts[order] + 1) / 2
    good, bad = right.sum(), len(right) - right.sum()
    if good == 0 or bad == 0:
        return float("nan")
    return round(float((ranks[right > 0].sum() - good * (good + 1) / 2) / (good * bad)), 4)


def calibration_error(sure: F64, right: F64) -> float:
    """Mean distance of predicted and true share over ten equally full bins."""
    groups = np.array_split(np.argsort(sure, kind="stable"), BINS)
    return round(float(sum(len(g) * abs(sure[g].mean() - right[g].mean()) for g in groups) / len(sure)), 4)


def plot_quality(path: Path, curves: Mapping[str, Mapping[str, F64]]) -> None:
    """Predicted against true share of right answers, before and after the draft, a line a node."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.2), sharey=True)
    for ax, key, title in zip(axes, ("before", "after"), ("before the draft", "draft known"), strict=True):
        ax.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
        for name, curve in curves.items():
            groups = np.array_split(np.argsort(curve[key], kind="stable"), BINS)
            ax.plot(
                [curve[key][g].mean() for g in groups], [curve["right"][g].mean() for g in groups], "o-", label=name
            )
        ax.set(xlabel="predicted share of right answers", title=title, xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("share of right answers")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def plot_latency(path: Path, curves: Mapping[str, Mapping[str, F64]]) -> None:
    """Predicted over measured compute, as the share of questions within a relative error, a line a node."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(4.6, 4.2))
    for name, curve in curves.items():
        off = np.sort(np.abs(curve["latency"] - curve["actual"]) / curve["actual"])
        ax.plot(100 * off, np.linspace(0, 1, len(off)), label=name)
    ax.axvline(15, color="grey", linewidth=1, linestyle=":")
    ax.set(xlabel="relative error of predicted latency, %", ylabel="share of questions", xlim=(0, 60), ylim=(0, 1))
    ax.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
