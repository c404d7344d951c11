"""Fits how sure an answer is, on held-out questions of the training side, and writes it into the manifests.

`python -m tools.train.calibrate --models models`: a logistic regression of "the answer is right" on the least token
probability and the largest token entropy of the answer, by Newton's method. No question of an evaluation set is used.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.confidence import summarise
from edge_agent.vlm.generate import Generator
from edge_agent.vlm.vision import VisionEncoder
from tools.train.evaluate import area_under_curve, normalise
from tools.train.export import write_json
from tools.train.features import draw, load_cache
from tools.train.questions import Asker, Question
from tools.train.settings import default_paths
from tools.train.views import View

MIX = {"coco": 24, "flickr": 12, "daquar": 3, "imagenet": 4, "shapes": 2}
"""How many questions a held-out photo of each source is asked at most."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered question: least probability, largest entropy, and whether it was right."""

    least: float
    most: float
    right: bool


def held_out(views: list[View], seed: int = 9) -> list[tuple[View, Question]]:
    """Questions of many kinds about the photos that were held out of training, asked several times over."""
    from tools.train.labels import imagenet_names

    asker, made = Asker(random.Random(seed), imagenet_names()), []
    for view in views:
        if view["split"] == "val":
            asked = [q for _ in range(3) for q in asker.ask(view, [])]
            unique = list({(q.text, q.answer): q for q in asked}.values())
            made += [(view, question) for question in unique[: MIX[view["source"]]]]
    return made


def answer_all(edge: Path, bundle: Bundle, asked: list[tuple[View, Question]]) -> list[Sample]:
    vision, generator = VisionEncoder(Bundle.open(edge)), Generator(bundle)
    samples, seen, last = [], None, None
    for view, question in asked:
        if view is not last:
            seen, last = vision.encode(draw(view)), view
        assert seen is not None
        events = list(generator.stream([seen], question.text))
        right = normalise(summarise(events, bundle.calibration).text) == normalise(question.answer)
        samples.append(Sample(min(e.probability for e in events), max(e.entropy for e in events), right))
    return samples


def fit(samples: list[Sample], rounds: int = 30, ridge: float = 1e-2) -> NDArray[np.float64]:
    """[bias, weight of logit(least probability), weight of the largest entropy], by penalised Newton steps."""
    least = np.clip([s.least for s in samples], 1e-6, 1 - 1e-6)
    x = np.stack([np.ones(len(samples)), np.log(least / (1 - least)), [s.most for s in samples]], axis=1)
    y, w = np.asarray([s.right for s in samples], dtype=np.float64), np.zeros(3)
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-x @ w))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * len(samples) * np.diag([0.0, 0.01, 0.01])
        w = w + np.linalg.solve(hessian, x.T @ (y - p) - ridge * len(samples) * np.asarray([0.0, 0.01, 0.01]) * w)
    return w


def calibration_error(sure: NDArray[np.float64], right: NDArray[np.float64], bins: int = 10) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equally full bins."""
    groups = np.array_split(np.argsort(sure), bins)
    return float(sum(len(g) * abs(sure[g].mean() - right[g].mean()) for g in groups) / len(sure))


def accept_threshold(samples: list[Sample], share: float = 0.6) -> float:
    """The entropy at or below which `share` of the held-out answers lie: what a cascade keeps on the device."""
    return float(np.quantile([s.most for s in samples], share))


def calibrate(edge: Path, folder: Path, asked: list[tuple[View, Question]]) -> dict[str, Any]:
    """Fits on half of the questions, reports on the other half, then fits on all and rewrites the manifest."""
    bundle = Bundle.open(folder)
    samples = answer_all(edge, bundle, asked)
    order = np.random.default_rng(0).permutation(len(samples))
    half = [samples[i] for i in order[: len(order) // 2]], [samples[i] for i in order[len(order) // 2 :]]
    w = fit(half[0])
    least = np.clip([s.least for s in half[1]], 1e-6, 1 - 1e-6)
    sure = 1 / (1 + np.exp(-(w[0] + w[1] * np.log(least / (1 - least)) + w[2] * np.asarray([s.most for s in half[1]]))))
    right = np.asarray([s.right for s in half[1]], dtype=np.float64)
    threshold = accept_threshold(samples)
    kept = [s.right for s in samples if s.most <= threshold]
    report = {
        "questions": len(samples),
        "accuracy": round(100 * float(np.mean([s.right for s in samples])), 1),
        "expected_calibration_error": round(calibration_error(sure, right), 3),
        "confidence_auc": round(area_under_curve(list(sure), [bool(r) for r in right]), 3),
        "accept_entropy": round(threshold, 4),
        "accepted_share": round(len(kept) / len(samples), 3),
        "accepted_accuracy": round(100 * float(np.mean(kept)), 1),
    }
    final = fit(samples)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["calibration"] |= {
        "bias": round(float(final[0]), 4),
        "probability_weight": round(float(final[1]), 4),
        "entropy_weight": round(float(final[2]), 4),
        "accept_entropy": round(threshold, 4),
        "fitted_on": report,
    }
    write_json(folder / "manifest.json", manifest)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--bundles", nargs="+", default=["edge-vqa", "cloud-vqa"])
    wanted = parser.parse_args()
    views, _ = load_cache(default_paths())
    asked = held_out(views)
    for name in wanted.bundles:
        print(
            json.dumps({"bundle": name, **calibrate(wanted.models / "edge-vqa", wanted.models / name, asked)}),
            flush=True,
        )


if __name__ == "__main__":
    main()
