"""What asking the cloud would gain, predicted from the edge's draft alone.

Two logistic models over the same features of the draft and the question: that the cloud helps (it is right where the
edge is wrong) and that it harms. The expected gain is the first probability minus the second, in answers a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

CUES = (
    "how many",
    "count",
    "is there",
    "do you see",
    "what is",
    "where is",
    " of the ",
    "more ",
    "fewer ",
    "left",
    "on",
)
"""Phrases; a feature each: 1 if the lower-case question holds it."""
FEATURES = ("one", "logit of the least token probability", "largest token entropy", "yes or no", *CUES)
SENT = 0.3


class Answered(Protocol):
    """What is needed of an answered question."""

    @property
    def least(self) -> float: ...
    @property
    def most(self) -> float: ...
    @property
    def right(self) -> bool: ...
    @property
    def question(self) -> str: ...


def logit(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)), p clipped to 1e-6 .. 1 - 1e-6."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))


def logistic_fit(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1e-4) -> NDArray[np.float64]:
    """Weights of a logistic regression with an unpenalised first column, by Newton's method; `x` [n, f], `y` 0 or 1."""
    w = np.zeros(x.shape[1])
    penalty = ridge * len(x) * np.asarray([0.0] + [1.0] * (x.shape[1] - 1))
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty) + 1e-9 * np.eye(len(w))
        w = w + np.linalg.solve(hessian, x.T @ (y - p) - penalty * w)
    return w


def design(drafts: Sequence[Answered]) -> NDArray[np.float64]:
    """[n, features] of the edge's drafts."""
    rows = []
    for draft in drafts:
        question = draft.question.lower()
        asks = question.split(" ", 1)[0] in ("is", "are", "do", "does", "can")
        cues = [float(cue in question) for cue in CUES]
        rows.append([1.0, float(logit([draft.least])[0]), draft.most, float(asks), *cues])
    return np.asarray(rows)


def changes(edge: Sequence[Answered], cloud: Sequence[Answered]) -> NDArray[np.float64]:
    """1 where only the cloud is right, -1 where only the edge is, else 0."""
    return np.asarray([float(c.right) - float(e.right) for e, c in zip(edge, cloud, strict=True)])


def predict(x: NDArray[np.float64], helps: NDArray[np.float64], harms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected gain a question, -1..1."""
    return np.asarray(1 / (1 + np.exp(-x @ helps)) - 1 / (1 + np.exp(-x @ harms)))


def fit(x: NDArray[np.float64], change: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ridge = 3e-3
    return logistic_fit(x, (change > 0).astype(float), ridge), logistic_fit(x, (change < 0).astype(float), ridge)


def fit_gain(edge: Sequence[Answered], cloud: Sequence[Answered]) -> dict[str, Any]:
    """What the manifest says: features, and the weights of both models."""
    helps, harms = fit(design(edge), changes(edge, cloud))
    return {
        "cues": list(CUES),
        "helps": [round(float(v), 4) for v in helps],
        "harms": [round(float(v), 4) for v in harms],
    }


def recovered(score: NDArray[np.float64], change: NDArray[np.float64], share: float = SENT) -> float:
    """Which part of the cloud's whole gain comes with the `share` of questions of the highest score."""
    sent = np.argsort(-score, kind="stable")[: round(share * len(score))]
    return float(change[sent].sum() / change.sum()) if change.sum() > 0 else float("nan")


def routing_report(edge: Sequence[Answered], cloud: Sequence[Answered]) -> dict[str, float]:
    """Gain of the cloud, and how much of it the 30 % hold that are sent by uncertainty or by predicted gain.

    Predicted by cross-fitting: each half of the questions by the fit on the other.
    """
    x, change = design(edge), changes(edge, cloud)
    order, predicted = np.random.default_rng(0).permutation(len(x)), np.zeros(len(x))
    for own, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        predicted[own] = predict(x[own], *fit(x[other], change[other]))
    unsure = -np.asarray([draft.least for draft in edge])
    return {
        "cloud_gain": round(100 * float(change.mean()), 2),
        "sent_share": SENT,
        "recovered_by_uncertainty": round(recovered(unsure, change), 3),
        "recovered_by_predicted_gain": round(recovered(predicted, change), 3),
    }
