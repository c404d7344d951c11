"""Mosaics of labelled crops: every cell is known, so counting, comparing and relating can be asked in any number.

Grids of 2 x 2, 3 x 2, 2 x 3 and 3 x 3 cells, drawn at 448 pixels; a cell holds one thing and nothing else that is asked
about. Two or three kinds fill most cells, so that numbers differ; at times a cell stays a piece of empty background.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from tools.train.crops import Box, View, area

SIDE = 448
LAYOUTS = ((2, 2), (3, 2), (2, 3), (3, 3), (3, 3), (2, 2))
_LEAST_AREA = 0.012


def _overlap(one: Box, two: Box) -> float:
    return area([max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])])


def crops_of(views: Iterable[View]) -> dict[str, list[View]]:
    """Label to its crops {part, box, others}; `others` are labels that the crop shows beside it. One thing a crop."""
    found: dict[str, list[View]] = {}
    for view in views:
        for thing in view["objects"]:
            box = thing["box"]
            if area(box) < _LEAST_AREA or not 0.3 < (box[2] - box[0]) / max(1e-6, box[3] - box[1]) < 3.5:
                continue
            rest = [o for o in view["objects"] if o is not thing]
            if any(o["label"] == thing["label"] and _overlap(box, o["box"]) > 0.1 * area(box) for o in rest):
                continue
            if any(_overlap(box, o["box"]) > 0.5 * area(box) for o in rest):
                continue
            others = {o["label"] for o in rest if _overlap(box, o["box"]) > 0.02 * area(box)}
            crop = {"part": view["parts"][0], "box": box, "others": sorted(others | set(view["unsure"]))}
            found.setdefault(thing["label"], []).append(crop)
    return found


class GridComposer:
    """Makes `grid` views out of crops of `views`."""

    def __init__(self, views: Iterable[View], rng: random.Random, split: str = "train", least: int = 1) -> None:
        self._rng, self._split = rng, split
        self._crops = {label: crops for label, crops in crops_of(views).items() if len(crops) >= least}
        self._labels = sorted(self._crops)
        self._weights = [min(12, len(self._crops[label])) ** 0.5 for label in self._labels]

    def _kinds(self, count: int) -> list[str]:
        kinds: list[str] = []
        while len(kinds) < min(count, len(self._labels)):
            kinds += [k for k in self._rng.choices(self._labels, self._weights, k=1) if k not in kinds]
        return kinds

    def grid(self) -> View:
        """One mosaic: some cells of two or three chief kinds, the others each of any other kind."""
        rng = self._rng
        columns, rows = rng.choice(LAYOUTS)
        cells = [
            [x / columns, y / rows, (x + 1) / columns, (y + 1) / rows] for y in range(rows) for x in range(columns)
        ]
        rng.shuffle(cells)
        chief = self._kinds(rng.choice((1, 2, 2, 2, 3)))
        fill: list[str] = []
        for kind in chief:
            fill += [kind] * rng.randint(1, max(1, min(6, len(cells) - len(fill))))
        fill = fill[: len(cells)]
        fill += [k for k in self._kinds(len(chief) + len(cells) - len(fill)) if k not in chief][
            : len(cells) - len(fill)
        ]
        parts: list[View] = []
        objects: list[View] = []
        unsure: set[str] = set()
        for at, label in zip(cells, fill, strict=False):
            crop = rng.choice(self._crops[label])
            parts.append(self._part(crop, at))
            objects.append({"label": label, "box": at})
            unsure |= set(crop["others"])
        return {
            "source": "grid",
            "split": self._split,
            "side": SIDE,
            "parts": parts,
            "objects": objects,
            "unsure": sorted(unsure),
            "whole": False,
            "cells": [columns, rows],
        }

    def _part(self, crop: View, at: Box) -> View:
        """The crop with a little of what is around it."""
        x0, y0, x1, y1 = crop["box"]
        grow = self._rng.uniform(0.0, 0.1)
        dx, dy = (x1 - x0) * grow, (y1 - y0) * grow
        return {
            **crop["part"],
            "crop": [max(0.0, x0 - dx), max(0.0, y0 - dy), min(1.0, x1 + dx), min(1.0, y1 + dy)],
            "at": at,
            "flip": self._rng.random() < 0.5,
            "gain": round(self._rng.uniform(0.8, 1.2), 3),
        }
