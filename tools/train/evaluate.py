"""Measures a bundle through the shipped runtime, beside three baselines: `python -m tools.train.evaluate`.

With the picture; blind (each question gets another picture of the same set); the most frequent training answer to a
question of that kind. Sets: coco dev, easy-VQA test, ImageNet names of held-out photos, DAQUAR dev. Prints one JSON
object a set.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.types import U8, Embeddings
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.confidence import summarise
from edge_agent.vlm.generate import Generator
from edge_agent.vlm.vision import VisionEncoder
from tools.train.features import read_photo
from tools.train.settings import Paths, default_paths
from tools.train.views import photos, read_jsonl, shapes

SETS = ("coco", "shapes", "imagenet", "daquar")


@dataclass(frozen=True, slots=True)
class Item:
    """One question about one picture, with every answer that counts as right."""

    image: str
    question: str
    answers: tuple[str, ...]
    kind: str


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces."""
    words = re.sub(r"[^a-z0-9, ]", " ", text.lower()).replace(",", " ").split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def load_set(name: str, paths: Paths) -> list[Item]:
    data = paths.data
    if name == "coco":
        return [
            Item(str(data / "coco" / r["image"]), r["question"], (r["answer"],), r["kind"])
            for r in read_jsonl(data / "coco" / "dev.jsonl")
        ]
    if name == "daquar":
        return [
            Item(str(data / "daquar" / r["image"]), r["question"], (r["answer"],), "daquar")
            for r in read_jsonl(data / "daquar" / "dev.jsonl")
        ]
    if name == "imagenet":
        held = [v for v in photos(paths) if v["source"] == "imagenet" and v["split"] == "val"]
        return [Item(v["parts"][0]["path"], "what is this?", (v["name"],), "naming") for v in held]
    return [
        Item(v["parts"][0]["path"], q, (a,), "shapes") for v in shapes() if v["split"] == "test" for q, a in v["qa"]
    ]


def _opening(kind: str, question: str) -> str:
    return " ".join([kind, *question.split()[:2]])


def majority(name: str, paths: Paths) -> Callable[[Item], str]:
    """The most frequent training answer to the same kind of question (its first two words, within a kind)."""
    rows: list[tuple[str, str, str]] = []
    if name == "coco":
        rows = [(r["kind"], r["question"], r["answer"]) for r in read_jsonl(paths.data / "coco" / "train.jsonl")]
    elif name == "daquar":
        rows = [("daquar", r["question"], r["answer"]) for r in read_jsonl(paths.data / "daquar" / "train.jsonl")]
    elif name == "shapes":
        rows = [("shapes", q, a) for v in shapes() if v["split"] == "train" for q, a in v["qa"]]
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, question, answer in rows:
        seen[_opening(kind, question)][answer] += 1
        seen[kind][answer] += 1

    def guess(item: Item) -> str:
        found = seen.get(_opening(item.kind, item.question)) or seen.get(item.kind) or Counter({"": 1})
        return found.most_common(1)[0][0]

    return guess


@dataclass(slots=True)
class Model:
    """An encoder and a decoder, with embeddings of pictures kept and time counted."""

    vision: VisionEncoder
    generator: Generator
    bundle: Bundle
    seen: dict[str, Embeddings] = field(default_factory=dict)
    encode_ms: list[float] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)

    @classmethod
    def open(cls, edge: Path, decoder: Path) -> Model:
        bundle = Bundle.open(decoder)
        return cls(VisionEncoder(Bundle.open(edge)), Generator(bundle), bundle)

    def answer(self, image: str, question: str) -> tuple[str, float]:
        """The answer and its confidence."""
        if image not in self.seen:
            picture: U8 = read_photo(image)
            started = time.perf_counter()
            self.seen[image] = self.vision.encode(picture)
            self.encode_ms.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        made = summarise(list(self.generator.stream([self.seen[image]], question)), self.bundle.calibration)
        self.answer_ms.append((time.perf_counter() - started) * 1000)
        return made.text, made.confidence


def interval(right: list[bool], rounds: int = 1000) -> list[float]:
    """95 % bootstrap interval of a mean, in percent."""
    values = np.asarray(right, dtype=np.float64)
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(rounds)]
    return [round(100 * float(v), 1) for v in np.percentile(means, [2.5, 97.5])]


def area_under_curve(score: list[float], right: list[bool]) -> float:
    """How often a right answer has a higher confidence than a wrong one."""
    good = np.sort([s for s, r in zip(score, right, strict=True) if r])
    bad = np.asarray([s for s, r in zip(score, right, strict=True) if not r])
    if not len(good) or not len(bad):
        return float("nan")
    above = len(good) - np.searchsorted(good, bad, side="right")
    equal = np.searchsorted(good, bad, side="right") - np.searchsorted(good, bad, side="left")
    return float((above + equal / 2).mean() / len(good))


def measure(model: Model, items: list[Item], guess: Callable[[Item], str]) -> dict[str, Any]:
    """Accuracy with the picture, blind and by majority, all and by kind, in percent; and the surest mistakes."""
    images = list(dict.fromkeys(item.image for item in items))
    other = {image: images[(i + len(images) // 2) % len(images)] for i, image in enumerate(images)}
    rows = []
    for item in items:
        wanted = {normalise(a) for a in item.answers}
        text, sure = model.answer(item.image, item.question)
        blind, _ = model.answer(other[item.image], item.question)
        rows.append(
            (item, text, sure, normalise(text) in wanted, normalise(blind) in wanted, normalise(guess(item)) in wanted)
        )
    right = [r[3] for r in rows]
    report: dict[str, Any] = {
        "n": len(rows),
        "all": _means(rows),
        "accuracy_ci": interval(right),
        "confidence_auc": round(area_under_curve([r[2] for r in rows], right), 3),
    }
    gains = np.asarray([float(r[3]) - float(r[4]) for r in rows])
    rng = np.random.default_rng(1)
    spread = [gains[rng.integers(0, len(gains), len(gains))].mean() for _ in range(1000)]
    report["gain_ci"] = [round(100 * float(v), 1) for v in np.percentile(spread, [2.5, 97.5])]
    for kind in sorted({r[0].kind for r in rows}):
        report[kind] = _means([r for r in rows if r[0].kind == kind])
    wrong = sorted((r for r in rows if not r[3]), key=lambda r: -r[2])[:8]
    report["confident_mistakes"] = [
        {
            "image": Path(r[0].image).name,
            "question": r[0].question,
            "answer": r[0].answers[0],
            "said": r[1],
            "confidence": round(r[2], 3),
        }
        for r in wrong
    ]
    report["encode_ms_p50"] = round(float(np.median(model.encode_ms)), 1)
    report["answer_ms_p50"] = round(float(np.median(model.answer_ms)), 1)
    return report


def _means(rows: list[Any]) -> dict[str, Any]:
    share = [round(100 * float(np.mean([r[i] for r in rows])), 1) for i in (3, 4, 5)]
    return {"n": len(rows), "picture": share[0], "blind": share[1], "majority": share[2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=Path, default=Path("models/edge-vqa"), help="bundle with the vision encoder")
    parser.add_argument("--decoder", type=Path, help="bundle with the decoder (default: the edge bundle)")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--limit", type=int, default=1500, help="questions a set, drawn at random with a fixed seed")
    wanted = parser.parse_args()
    paths = default_paths()
    model = Model.open(wanted.edge, wanted.decoder or wanted.edge)
    for name in wanted.sets:
        items = load_set(name, paths)
        if len(items) > wanted.limit:
            items = random.Random(0).sample(items, wanted.limit)
        print(
            json.dumps({"set": name, "bundle": model.bundle.name, **measure(model, items, majority(name, paths))}),
            flush=True,
        )


if __name__ == "__main__":
    main()
