"""Writes the evaluation sets that are made here: `python -m tools.train.evalsets --out build/eval`.

mosaic: count, comparison and relation on mosaics of crops of photos that were never trained on, every answer of a kind
equally often; imagenet: "what is this?" of the held-out photos; shapes: easy-VQA's own test side. Each is a folder with
pictures and data.jsonl, to be read by `edge-agent eval vqa --data FOLDER/data.jsonl`. The same seed gives the same set.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.train.arranged import Asked, comparisons, counts, relations
from tools.train.crops import View
from tools.train.features import draw
from tools.train.mosaics import GridComposer
from tools.train.settings import Paths, default_paths
from tools.train.views import photos, shapes

Row = dict[str, Any]
QUOTA = {
    **{("count", str(number)): 50 for number in range(1, 6)},
    **{(kind, answer): 125 for kind in ("compare", "relation") for answer in ("yes", "no")},
}
"""How many questions of each kind and answer the mosaic set has."""
SHAPE_QUESTIONS = 3


def unseen(paths: Paths) -> list[View]:
    """Photos whose crops no training picture shows: COCO dev, and those held out of Flickr8k and ImageNet."""
    return [
        view
        for view in photos(paths)
        if (view["source"] == "coco" and view["split"] == "test")
        or (view["source"] in ("flickr", "imagenet") and view["split"] == "val")
    ]


def mosaic_rows(paths: Paths, folder: Path, seed: int = 11) -> Iterator[Row]:
    """Draws mosaics until each quota is full; at most one question of a kind about each."""
    import cv2

    rng = random.Random(seed)
    composer = GridComposer(unseen(paths), rng, split="test")
    left = Counter(QUOTA)
    number = 0
    while any(left.values()):
        view = composer.grid()
        asked = [_first(made, left) for made in (counts(view, rng), comparisons(view, rng), relations(view, rng))]
        chosen = [one for one in asked if one is not None]
        if not chosen:
            continue
        name = f"images/{number:04d}.jpg"
        cv2.imwrite(str(folder / name), draw(view), [cv2.IMWRITE_JPEG_QUALITY, 95])
        number += 1
        for question, answer, kind in chosen:
            left[kind, answer] -= 1
            yield {"image": name, "question": question, "answer": answer, "kind": kind}


def _first(made: list[Asked], left: Counter[tuple[str, str]]) -> Asked | None:
    """The question of `made` whose answer is still wanted most."""
    wanted = [one for one in made if left[one[2], one[1]] > 0]
    return max(wanted, key=lambda one: left[one[2], one[1]], default=None)


def imagenet_rows(paths: Paths, folder: Path) -> Iterator[Row]:
    for view in photos(paths):
        if view["source"] == "imagenet" and view["split"] == "val":
            path = Path(view["parts"][0]["path"])
            shutil.copy(path, folder / "images" / path.name)
            yield {
                "image": f"images/{path.name}",
                "question": "what is this?",
                "answer": view["name"].lower(),
                "kind": "naming",
            }


def shape_rows(folder: Path, seed: int = 12) -> Iterator[Row]:
    rng = random.Random(seed)
    for view in shapes():
        if view["split"] == "test":
            path = Path(view["parts"][0]["path"])
            shutil.copy(path, folder / "images" / path.name)
            for question, answer in rng.sample(view["qa"], min(SHAPE_QUESTIONS, len(view["qa"]))):
                yield {"image": f"images/{path.name}", "question": question, "answer": answer, "kind": "shapes"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/eval"))
    wanted = parser.parse_args()
    paths = default_paths()
    for name in ("mosaic", "imagenet", "shapes"):
        folder = wanted.out / name
        (folder / "images").mkdir(parents=True, exist_ok=True)
        made = {
            "mosaic": lambda: mosaic_rows(paths, folder),  # noqa: B023 - called at once
            "imagenet": lambda: imagenet_rows(paths, folder),  # noqa: B023
            "shapes": lambda: shape_rows(folder),  # noqa: B023
        }[name]()
        with (folder / "data.jsonl").open("w", encoding="utf-8") as out:
            count = sum(1 for row in made if out.write(json.dumps(row) + "\n"))
        print(f"{folder / 'data.jsonl'}: {count} questions")


if __name__ == "__main__":
    main()
