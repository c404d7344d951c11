"""Views of photos: what each picture of the training set shows, before any question is asked about it.

A view is one line of JSON: how to draw it (`parts`, each a photo, its crop, where it is pasted), the objects in it with
boxes relative to the view (0..1), and what else is known (human questions, captions, ImageNet class). `split` is train,
val (held out of the training side, for calibration) or test (never trained on).
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.train.crops import Box, View, area, crop_view, flip_view, inside, placed
from tools.train.labels import imagenet_names, imagenet_to_coco
from tools.train.mosaics import GridComposer
from tools.train.settings import Paths

_VAL_SHARE = {"coco": 0.07, "flickr": 0.04, "daquar": 0.04, "imagenet": 0.06, "shapes": 0.03}
_CROPS = {"coco": 14, "flickr": 3, "daquar": 3, "imagenet": 3}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_val(source: str, image: str) -> bool:
    """Held out by a hash of its name, so that the choice never depends on order."""
    return zlib.crc32(image.encode()) % 1000 < 1000 * _VAL_SHARE[source]


def _relative(record: dict[str, Any], least_score: float) -> tuple[list[View], list[str]]:
    """Objects as {label, box [x0, y0, x1, y1] in 0..1}, and labels too unsure to ask about."""
    sure, unsure = [], []
    wide, high = float(record["width"]), float(record["height"])
    for thing in record["objects"]:
        x, y, w, h = thing["bbox"]
        if thing.get("score", 1.0) < least_score:
            unsure.append(thing["label"])
            continue
        box = [max(0.0, x / wide), max(0.0, y / high), min(1.0, (x + w) / wide), min(1.0, (y + h) / high)]
        sure.append({"label": thing["label"], "box": box})
    return sure, unsure


def photos(paths: Paths) -> Iterator[View]:
    """Every photo once, whole, with its split. Photos of coco/dev, daquar/dev are `test`."""
    data = paths.data
    dev = {row["image"] for row in read_jsonl(data / "coco" / "dev.jsonl")}
    for row in read_jsonl(data / "coco" / "photos.jsonl"):
        split = "test" if row["image"] in dev else ("val" if is_val("coco", row["image"]) else "train")
        sure, _ = _relative(row, 0.0)
        yield _photo("coco", data / "coco" / row["image"], split, sure, [], captions=row["captions"])
    captions = {row["image"]: row["captions"] for row in read_jsonl(data / "flickr8k" / "captions.jsonl")}
    for row in read_jsonl(data / "flickr8k" / "boxes.jsonl"):
        split = "val" if is_val("flickr", row["image"]) else "train"
        sure, unsure = _relative(row, 0.45)
        yield _photo(
            "flickr", data / "flickr8k" / row["image"], split, sure, unsure, captions=captions.get(row["image"], [])
        )
    yield from _daquar(data / "daquar")
    names = {name.lower(): i for i, name in enumerate(imagenet_names())}
    to_coco = imagenet_to_coco(imagenet_names())
    for row in read_jsonl(data / "imagenet" / "photos.jsonl"):
        split = "val" if is_val("imagenet", row["image"]) else "train"
        label = row["label"].replace("_", " ")
        kind = to_coco.get(names.get(label.lower(), -1))
        found = [{"label": kind, "box": [0.1, 0.1, 0.9, 0.9]}] if kind else []
        yield _photo("imagenet", data / "imagenet" / row["image"], split, found, [], name=label)


def _daquar(folder: Path) -> Iterator[View]:
    boxes = {row["image"]: row for row in read_jsonl(folder / "boxes.jsonl")}
    for part in ("train", "dev"):
        asked: dict[str, list[list[str]]] = {}
        for row in read_jsonl(folder / f"{part}.jsonl"):
            asked.setdefault(row["image"], []).append([row["question"], row["answer"]])
        for image, qa in asked.items():
            sure, unsure = _relative(boxes[image], 0.45) if image in boxes else ([], [])
            split = "test" if part == "dev" else ("val" if is_val("daquar", image) else "train")
            yield _photo("daquar", folder / image, split, sure, unsure, qa=qa)


def _photo(source: str, path: Path, split: str, objects: list[View], unsure: list[str], **more: Any) -> View:
    part = {"path": str(path), "crop": [0, 0, 1, 1], "at": [0, 0, 1, 1], "flip": False}
    return {
        "source": source,
        "split": split,
        "parts": [part],
        "objects": objects,
        "unsure": unsure,
        "whole": True,
        **more,
    }


class Composer:
    """Pictures put together from labelled crops: rare things become frequent, counts and positions are known."""

    def __init__(self, bases: list[View], rng: random.Random) -> None:
        self._rng = rng
        self._bases = [v for v in bases if v["source"] != "imagenet"]
        self._crops: dict[str, list[View]] = {}
        for view in bases:
            for thing in view["objects"]:
                if area(thing["box"]) > 0.02 and thing["label"] != "person":
                    self._crops.setdefault(thing["label"], []).append({"view": view, "box": thing["box"]})

    def _crop(self) -> tuple[str, View]:
        label = self._rng.choice(sorted(self._crops))
        return label, self._rng.choice(self._crops[label])

    def _cell(self, at: Box) -> tuple[View, list[View]]:
        """One pasted crop with some context around the object, and what it shows."""
        return self._cut(*self._crop(), at)

    def _cut(self, label: str, found: View, at: Box) -> tuple[View, list[View]]:
        grow = self._rng.uniform(0.0, 0.2)
        x0, y0, x1, y1 = found["box"]
        dx, dy = (x1 - x0) * grow, (y1 - y0) * grow
        crop = [max(0.0, x0 - dx), max(0.0, y0 - dy), min(1.0, x1 + dx), min(1.0, y1 + dy)]
        flip = self._rng.random() < 0.5
        part = {
            **found["view"]["parts"][0],
            "crop": crop,
            "at": at,
            "flip": flip,
            "gain": round(self._rng.uniform(0.8, 1.2), 3),
        }
        return part, [{"label": label, "box": at}]

    def repeated(self) -> View:
        """Four or six cells, some of them crops of one and the same kind of thing: what counting is learned from."""
        columns, rows = self._rng.choice(((2, 2), (2, 2), (3, 2), (2, 3)))
        cells = [
            [x / columns, y / rows, (x + 1) / columns, (y + 1) / rows] for x in range(columns) for y in range(rows)
        ]
        self._rng.shuffle(cells)
        label, count = self._rng.choice(sorted(self._crops)), self._rng.randint(1, len(cells))
        alone = [c for c in self._crops[label] if sum(o["label"] == label for o in c["view"]["objects"]) == 1]
        parts, objects = [], []
        for i, at in enumerate(cells):
            name, found = self._crop()
            if i < count or name == label:
                name, found = label, self._rng.choice(alone or self._crops[label])
            part, shown = self._cut(name, found, at)
            parts.append(part)
            objects += shown
        return {
            "source": "mosaic",
            "split": "train",
            "parts": parts,
            "objects": objects,
            "unsure": ["person"],
            "whole": False,
        }

    def mosaic(self) -> View:
        """Two or four cells: crops of things or whole photos side by side."""
        layouts = [
            [[0, 0, 0.5, 1], [0.5, 0, 1, 1]],
            [[0, 0, 1, 0.5], [0, 0.5, 1, 1]],
            [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]],
        ]
        parts, objects, unsure = [], [], []
        for at in self._rng.choice(layouts):
            if self._rng.random() < 0.5:
                part, shown = self._cell(at)
                unsure += ["person"]
            else:
                base = crop_view(self._rng.choice(self._bases), self._rng, 0.5)
                part, shown = {**base["parts"][0], "at": at}, placed(base["objects"], at)
                unsure += base["unsure"]
            parts.append(part)
            objects += shown
        return {
            "source": "mosaic",
            "split": "train",
            "parts": parts,
            "objects": objects,
            "unsure": unsure,
            "whole": False,
        }

    def pasted(self) -> View:
        """A photo with one to three crops pasted over it; what they hide is no longer asked about."""
        base = crop_view(self._rng.choice(self._bases), self._rng, 0.6)
        parts, objects, unsure = list(base["parts"]), list(base["objects"]), [*base["unsure"], "person"]
        for _ in range(self._rng.randint(1, 3)):
            w, h = self._rng.uniform(0.25, 0.55), self._rng.uniform(0.25, 0.55)
            x, y = self._rng.uniform(0, 1 - w), self._rng.uniform(0, 1 - h)
            part, shown = self._cell([x, y, x + w, y + h])
            left = []
            for thing in objects:
                hidden = area(inside(thing["box"], x, y, w, h, False)) * w * h / max(1e-6, area(thing["box"]))
                if hidden < 0.4:
                    left.append(thing)
                elif hidden < 0.9:
                    unsure.append(thing["label"])
            parts.append(part)
            objects = left + shown
        return {
            "source": "pasted",
            "split": "train",
            "parts": parts,
            "objects": objects,
            "unsure": unsure,
            "whole": False,
        }


def shapes() -> Iterator[View]:
    """The drawn pictures of easy-VQA with their questions; its own test pictures are `test`."""
    import easy_vqa

    for split, ask, find in (
        ("train", easy_vqa.get_train_questions, easy_vqa.get_train_image_paths),
        ("test", easy_vqa.get_test_questions, easy_vqa.get_test_image_paths),
    ):
        asked: dict[int, list[list[str]]] = {}
        for question, answer, image in zip(*ask(), strict=True):
            asked.setdefault(image, []).append([question, answer])
        for image, path in sorted(find().items()):
            side = "val" if split == "train" and is_val("shapes", str(image)) else split
            yield _photo("shapes", Path(path), side, [], [], qa=asked.get(image, []))


def all_views(paths: Paths, seed: int = 1, composites: int = 5000, grids: int = 14000) -> Iterator[View]:
    """Whole photos first (each split), then mirrored ones, crops, composites; only train photos are varied."""
    whole = list(photos(paths))
    yield from whole
    yield from shapes()
    train = [view for view in whole if view["split"] == "train"]
    yield from _varied(train, random.Random(seed), composites, first=True)
    yield from _varied(train, random.Random(seed + 1), composites, first=False)
    yield from mosaics(whole, random.Random(seed + 2), grids)


def mosaics(whole: list[View], rng: random.Random, count: int) -> Iterator[View]:
    """`count` mosaics for training, and a fiftieth as many of the photos held out for calibration."""
    train = GridComposer((v for v in whole if v["split"] == "train"), rng)
    yield from (train.grid() for _ in range(count))
    held = GridComposer((v for v in whole if v["split"] == "val"), rng, "val")
    yield from (held.grid() for _ in range(count // 50))


def _varied(train: list[View], rng: random.Random, composites: int, first: bool) -> list[View]:
    """One round of variations in random order; the first has the mirrored photos, the second pictures for counting."""
    order = [flip_view(view) for view in train] if first else []
    for view in train:
        order += [
            crop_view(view, rng, 0.3 if view["source"] != "daquar" else 0.5) for _ in range(_CROPS[view["source"]])
        ]
    composer = Composer(train, rng)
    for _ in range(composites):
        if not first and rng.random() < 0.3:
            order.append(composer.repeated())
        else:
            order.append(composer.mosaic() if rng.random() < 0.4 else composer.pasted())
    rng.shuffle(order)
    return order
