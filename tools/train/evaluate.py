"""Measures a trained model beside its baselines: `python -m tools.train.evaluate edge > report.jsonl`.

With the picture; blind (each question about another picture of its set); the most frequent answer of the set's
training side to questions that begin alike (of mosaics and sounds: of the set itself). In torch with the weights
rounded as they are shipped, or not (`--float`). Prints one JSON object a set: figures by kind with 95 % intervals over
pictures, and the surest mistakes of each kind.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tools.train.answerer import Answerer, Item, load_items, picture_features
from tools.train.measures import area_under_curve, interval, normalise
from tools.train.model import Cache as Keys
from tools.train.settings import VIEWS, Paths, default_paths
from tools.train.sounds import HEARD, Sounds
from tools.train.trained import Trained, load_cloud, load_trained, rounded_pair, untold
from tools.train.views import read_jsonl, shapes

SETS = ("coco", "mosaic", "imagenet", "shapes", "daquar", "sound")
Rows = list[dict[str, Any]]


def _opening(kind: str, question: str) -> str:
    return " ".join([kind, *question.split()[:2]])


def majority(name: str, paths: Paths, items: list[Item]) -> Callable[[Item], str]:
    """The most frequent training answer to the same kind of question (its first two words, within a kind)."""
    rows: list[tuple[str, str, str]] = []
    if name in ("coco", "daquar"):
        train = read_jsonl(paths.data / name / "train.jsonl")
        rows = [(r.get("kind", name), r["question"], r["answer"]) for r in train]
    elif name == "shapes":
        rows = [("shapes", q, a) for v in shapes() if v["split"] == "train" for q, a in v["qa"]]
    elif name in ("mosaic", "sound"):
        rows = [(item.kind, item.question, item.answer) for item in items]
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, question, answer in rows:
        seen[_opening(kind, question)][answer] += 1
        seen[kind][answer] += 1

    def guess(item: Item) -> str:
        found = seen.get(_opening(item.kind, item.question)) or seen.get(item.kind) or Counter({"": 1})
        return found.most_common(1)[0][0]

    return guess


def answers(
    answerer: Answerer, items: list[Item], seen: dict[str, NDArray[Any]], other: dict[str, str]
) -> dict[Item, tuple[str, float]]:
    """Answer and least token probability of every item; the picture looked at is `other[item.image]`."""
    found: dict[Item, tuple[str, float]] = {}
    keys, last = None, ""
    for item in sorted(items, key=lambda item: item.image):
        image = other[item.image]
        if image != last:
            keys, last = _keys(answerer, seen.get(image)), image
        assert keys is not None
        text, least, _ = answerer.answer(keys, item.question)
        found[item] = (text, least)
    return found


def _keys(answerer: Answerer, seen: NDArray[Any] | None) -> Keys:
    """Of a picture's features (uint8), of a sound's tokens (float32) or of nothing."""
    if seen is None:
        return answerer.look_away()
    return answerer.look(seen) if seen.dtype == np.uint8 else answerer.look(None, seen)


def measure(
    answerer: Answerer,
    items: list[Item],
    seen: dict[str, NDArray[Any]],
    guess: Callable[[Item], str],
    blind: bool,
) -> dict[str, Any]:
    images = list(dict.fromkeys(item.image for item in items))
    same = {image: image for image in images}
    moved = {image: images[(i + len(images) // 2) % len(images)] for i, image in enumerate(images)}
    told = answers(answerer, items, seen, same)
    blindly = answers(answerer, items, seen, moved) if blind else {}
    rows: Rows = []
    for item in items:
        wanted = normalise(item.answer)
        row = {
            "item": item,
            "said": told[item][0],
            "sure": told[item][1],
            "picture": normalise(told[item][0]) == wanted,
        }
        row["majority"] = normalise(guess(item)) == wanted
        if blind:
            row["blind"] = normalise(blindly[item][0]) == wanted
        rows.append(row)
    report: dict[str, Any] = {"n": len(rows), "all": _share(rows)}
    report["confidence_auc"] = round(area_under_curve([r["sure"] for r in rows], [r["picture"] for r in rows]), 3)
    report["kinds"] = {}
    for kind in sorted({item.kind for item in items}):
        own = [r for r in rows if r["item"].kind == kind]
        report["kinds"][kind] = {**_share(own), "mistakes": _mistakes(own)}
    return report


def _share(rows: Rows) -> dict[str, Any]:
    """Percentages, and the 95 % interval of the accuracy with the picture."""
    columns = [str(k) for k in ("picture", "blind", "majority") if k in rows[0]]
    made = {k: round(100 * float(np.mean([r[k] for r in rows])), 1) for k in columns}
    groups: dict[str, list[bool]] = defaultdict(list)
    for r in rows:
        groups[r["item"].image].append(r["picture"])
    return {"n": len(rows), **made, "interval": interval(list(groups.values()))}


def _mistakes(rows: Rows, count: int = 3) -> Rows:
    wrong = sorted((r for r in rows if not r["picture"]), key=lambda r: -float(r["sure"]))
    made: dict[str, dict[str, Any]] = {}
    for r in wrong:
        item = r["item"]
        if Path(item.image).name not in made:
            made[Path(item.image).name] = {
                "image": Path(item.image).name,
                "question": item.question,
                "answer": item.answer,
                "said": r["said"],
                "probability": round(float(r["sure"]), 3),
            }
    return list(made.values())[:count]


def load_sounds(paths: Paths, hidden: int) -> tuple[list[Item], dict[str, NDArray[np.float32]]]:
    """ "What do you hear?" of every clip held out of the training of encoder and decoders; its tokens [A, hidden]."""
    sounds = Sounds.load(paths, hidden)
    clips = [row for row in read_jsonl(paths.sounds / "clips.jsonl") if row["split"] == "held_out"]
    items = [Item(row["name"], "what do you hear?", HEARD[row["label"]][0], _sound_kind(row["label"])) for row in clips]
    tokens = {
        clip["name"]: np.asarray(sounds.tokens[0, i], dtype=np.float32)
        for clip, i in zip(clips, sounds.rows["held_out"], strict=True)
    }
    return items, tokens


def _sound_kind(label: str) -> str:
    return "made" if label in ("speech", "silence") else "esc-10"


def open_model(which: str, paths: Paths, alone: bool, exact: bool, plain: bool) -> Trained:
    """The averaged weights of a checkpoint; the cloud's as `load_cloud` puts it together, or `plain`: not reckoning."""
    trained = load_cloud(paths, alone) if which == "cloud" else load_trained(paths.work / f"{which}.pt")
    trained = untold(trained) if plain else trained
    return trained if exact else rounded_pair(trained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("edge", "cloud", "control"))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--limit", type=int, default=1500, help="questions a set, drawn at random with a fixed seed")
    parser.add_argument("--views", type=int, choices=(1, VIEWS), help="default: 1 for the edge, else 5")
    parser.add_argument("--alone", action="store_true", help="the cloud's newer decoder alone; implies --plain")
    parser.add_argument("--plain", action="store_true", help="the cloud's decoders without what reckons")
    parser.add_argument("--float", action="store_true", help="weights as trained, not rounded to int8")
    parser.add_argument("--question-only", action="store_true", help="show no picture and no sound at all")
    parser.add_argument("--no-blind", action="store_true", help="leave the blind control out")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    paths = default_paths()
    views = wanted.views or (1 if wanted.which == "edge" else VIEWS)
    model = open_model(wanted.which, paths, wanted.alone, wanted.float, wanted.plain or wanted.alone)
    seen: dict[str, NDArray[Any]]
    answerer = Answerer(model, Tokenizer.from_file(str(paths.tokenizer)), views)
    for name in wanted.sets:
        if name == "sound":
            items, seen = load_sounds(paths, model.config.hidden)
        else:
            items = load_items(name, paths, wanted.limit)
            seen = {}
            if not wanted.question_only:
                seen = picture_features(name, list(dict.fromkeys(item.image for item in items)), paths)
        made = measure(answerer, items, seen, majority(name, paths, items), not wanted.no_blind)
        kind = "alone" if wanted.alone else "plain" if wanted.plain else "vqa"
        bundle = f"{wanted.which}-{kind if wanted.which == 'cloud' else 'vqa'}"
        about = {"weights": "float" if wanted.float else "int8", "step": model.step}
        print(json.dumps({"set": name, "bundle": bundle, "views": views, **about, **made}), flush=True)


if __name__ == "__main__":
    main()
