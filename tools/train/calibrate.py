"""Fits how sure an answer is, and what asking the cloud would gain: `python -m tools.train.calibrate --models models`.

On questions about photos and mosaics held out of the training side (no question of an evaluation set), answered in
torch by the rounded weights that are shipped. Confidence: a logistic regression of "the answer is right" on the least
token probability and the largest token entropy. Gain: see `gain.py`. Writes both into the manifests, and
reliability.png.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tools.train.answerer import Answerer
from tools.train.bundle_files import write_json
from tools.train.crops import View
from tools.train.features import Cache, as_bytes, draw, encode, open_session, tiles_of
from tools.train.gain import fit_gain, logistic_fit, logit, routing_report
from tools.train.labels import imagenet_names
from tools.train.measures import area_under_curve, calibration_error, normalise
from tools.train.questions import Asker, Question
from tools.train.settings import VIEWS, Paths, default_paths
from tools.train.trained import Trained, load_pair, rounded_pair

MIX = {"coco": 24, "flickr": 12, "daquar": 5, "imagenet": 4, "shapes": 3, "grid": 4}
"""How many questions a held-out picture of each source is asked at most."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered question: least probability, largest entropy (0..1, of the vocabulary), and whether it was right."""

    least: float
    most: float
    right: bool
    kind: str
    question: str


def held_out(views: list[View], seed: int = 9) -> list[tuple[int, Question]]:
    """Questions of many kinds about the pictures that were held out of training: (number of the view, question)."""
    asker, made = Asker(random.Random(seed), imagenet_names()), []
    for i, view in enumerate(views):
        if view["split"] == "val":
            asked = [q for _ in range(3) for q in asker.ask(view, [])]
            unique = list({(q.text, q.answer): q for q in asked}.values())
            asker.rng.shuffle(unique)
            made += [(i, question) for question in unique[: MIX[view["source"]]]]
    return made


def looks(cache: Cache, rows: list[int], paths: Paths) -> dict[int, NDArray[np.uint8]]:
    """[5, 49, 1280] uint8 of each view, whole and tiles."""
    session, found = open_session(paths.encoder), {}
    for row in dict.fromkeys(rows):
        view = cache.views[row]
        if row in cache.tile_row:
            found[row] = np.concatenate([cache.features[row][None], cache.tiles[cache.tile_row[row]]])
        else:
            picture = draw(view)
            found[row] = as_bytes(np.stack([encode(session, one) for one in (picture, *tiles_of(picture))]))
    return found


def answer_all(
    trained: Trained, views: int, asked: list[tuple[int, Question]], seen: dict[int, NDArray[np.uint8]], paths: Paths
) -> list[Sample]:
    """Every question answered with the first `views` views of its picture."""
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    answerer = Answerer(rounded_pair(trained), tokenizer, views)
    size, made, last, keys = np.log(tokenizer.get_vocab_size()), [], -1, None
    for row, question in asked:
        if row != last:
            keys, last = answerer.look(seen[row]), row
        assert keys is not None
        text, least, most = answerer.answer(keys, question.text)
        right = normalise(text) == normalise(question.answer)
        made.append(Sample(least, float(most / size), right, question.kind, question.text))
    return made


def confidence_of(samples: list[Sample], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """The calibrated confidence of each sample under weights [bias, probability, entropy]."""
    least, most = np.asarray([s.least for s in samples]), np.asarray([s.most for s in samples])
    return np.asarray(1 / (1 + np.exp(-(w[0] + w[1] * logit(least) + w[2] * most))))


def fit_confidence(samples: list[Sample]) -> NDArray[np.float64]:
    x = np.stack([np.ones(len(samples)), logit([s.least for s in samples]), [s.most for s in samples]], axis=1)
    return logistic_fit(x, np.asarray([s.right for s in samples], dtype=np.float64))


def calibrate(samples: list[Sample], share: float = 0.6) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """The manifest's entries, fitted on all; figures from two halves, each judged by the fit on the other."""
    order = np.random.default_rng(0).permutation(len(samples))
    sure = np.zeros(len(samples))
    for own, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        sure[own] = confidence_of([samples[i] for i in own], fit_confidence([samples[i] for i in other]))
    right = np.asarray([s.right for s in samples], dtype=np.float64)
    threshold = float(np.quantile([s.most for s in samples], share))
    kept = [s.right for s in samples if s.most <= threshold]
    final = fit_confidence(samples)
    entries = {
        "bias": round(float(final[0]), 4),
        "probability_weight": round(float(final[1]), 4),
        "entropy_weight": round(float(final[2]), 4),
        "accept_entropy": round(threshold, 4),
        "fitted_on": {
            "questions": len(samples),
            "accuracy": round(100 * float(right.mean()), 1),
            "expected_calibration_error": round(calibration_error(sure, right), 3),
            "confidence_auc": round(area_under_curve(list(sure), [bool(r) for r in right]), 3),
            "accept_entropy": round(threshold, 4),
            "accepted_share": round(len(kept) / len(samples), 3),
            "accepted_accuracy": round(100 * float(np.mean(kept)), 1),
        },
    }
    return entries, sure


def draw_reliability(path: Path, curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    """Confidence against accuracy in ten equally full bins, a line a model."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 4.2))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    for name, (sure, right) in curves.items():
        groups = np.array_split(np.argsort(sure), 10)
        axes.plot([sure[g].mean() for g in groups], [right[g].mean() for g in groups], marker="o", label=name)
    axes.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--plot", type=Path, default=Path("docs/reliability.png"))
    parser.add_argument("--alone", action="store_true", help="as given to tools.train.export")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    paths = default_paths()
    cache = Cache.load(paths)
    asked = held_out(cache.views)
    seen = looks(cache, [row for row, _ in asked], paths)
    curves, answers = {}, {}
    for name, trained, views in zip(("edge-vqa", "cloud-vqa"), load_pair(paths, wanted.alone), (1, VIEWS), strict=True):
        answers[name] = answer_all(trained, views, asked, seen, paths)
        entries, sure = calibrate(answers[name])
        curves[name] = (sure, np.asarray([s.right for s in answers[name]], dtype=np.float64))
        manifest = json.loads((wanted.models / name / "manifest.json").read_text("utf-8"))
        manifest["calibration"] |= entries
        if name == "cloud-vqa":
            edge = json.loads((wanted.models / "edge-vqa" / "manifest.json").read_text("utf-8"))
            edge["calibration"]["gain"] = fit_gain(answers["edge-vqa"], answers[name])
            edge["calibration"]["fitted_on"]["routing"] = routing_report(answers["edge-vqa"], answers[name])
            write_json(wanted.models / "edge-vqa" / "manifest.json", edge)
        write_json(wanted.models / name / "manifest.json", manifest)
        print(json.dumps({"bundle": name, **entries["fitted_on"]}), flush=True)
    print(json.dumps(routing_report(answers["edge-vqa"], answers["cloud-vqa"])))
    draw_reliability(wanted.plot, curves)


if __name__ == "__main__":
    main()
