"""Parts of a view: cut out, mirrored, placed in another, with the boxes of what is left to be seen."""

from __future__ import annotations

import random
from typing import Any

View = dict[str, Any]
Box = list[float]


def crop_view(view: View, rng: random.Random, least_area: float) -> View:
    """A random crop, flipped half the time, with brightness changed a little; objects cut to what is left of them."""
    size, ratio = rng.uniform(least_area, 1.0), rng.uniform(0.8, 1.25)
    w, h = min(1.0, (size * ratio) ** 0.5), min(1.0, (size / ratio) ** 0.5)
    x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
    flip = rng.random() < 0.5
    objects, unsure = [], list(view["unsure"])
    for thing in view["objects"]:
        kept = inside(thing["box"], x, y, w, h, flip)
        share = area(kept) * w * h / max(1e-6, area(thing["box"]))
        if share > 0.45:
            objects.append({"label": thing["label"], "box": kept})
        elif share > 0.03:
            unsure.append(thing["label"])
    part = {**view["parts"][0], "crop": [x, y, x + w, y + h], "flip": flip, "gain": round(rng.uniform(0.8, 1.2), 3)}
    return {**view, "parts": [part], "objects": objects, "unsure": unsure, "whole": size > 0.8}


def flip_view(view: View) -> View:
    """The whole photo mirrored; questions with left or right in them no longer hold (`whole` stays, `flip` tells)."""
    objects = [{"label": o["label"], "box": inside(o["box"], 0, 0, 1, 1, True)} for o in view["objects"]]
    return {**view, "parts": [{**view["parts"][0], "flip": True}], "objects": objects}


def inside(box: Box, x: float, y: float, w: float, h: float, flip: bool) -> Box:
    """`box` relative to the part that begins at `x`, `y` and is `w` wide and `h` high, cut at its edges."""
    x0, x1 = (max(0.0, (box[0] - x) / w), min(1.0, (box[2] - x) / w))
    y0, y1 = (max(0.0, (box[1] - y) / h), min(1.0, (box[3] - y) / h))
    return [1 - x1, y0, 1 - x0, y1] if flip else [x0, y0, x1, y1]


def area(box: Box) -> float:
    """0 where the box is none."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def placed(objects: list[View], at: Box) -> list[View]:
    """The objects of a part in the view that has it at `at`."""
    x, y, w, h = at[0], at[1], at[2] - at[0], at[3] - at[1]
    return [
        {
            "label": o["label"],
            "box": [x + o["box"][0] * w, y + o["box"][1] * h, x + o["box"][2] * w, y + o["box"][3] * h],
        }
        for o in objects
    ]
