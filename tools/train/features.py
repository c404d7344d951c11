"""Draws every view, runs the frozen backbone over it once and keeps the features: `python -m tools.train.features`.

Writes views.jsonl, features.u8 ([views, 49, 1280] uint8, memory-mapped: 0..255 is the backbone's 0..6) and tiles.u8
([tiled views, 4, 49, 1280], in the order of `tiled`); goes on where it was stopped.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_agent.types import F32, U8
from edge_agent.vlm.image_processor import ImageProcessor
from edge_agent.vlm.tiling import DetailViews
from tools.train.backbone import Backbone, export_backbone
from tools.train.crops import View
from tools.train.settings import (
    BACKBONE_WIDTH,
    CELLS,
    IMAGE_SIZE,
    TILE_COLUMNS,
    TILE_OVERLAP,
    TILE_ROWS,
    TILES,
    Paths,
    default_paths,
)
from tools.train.views import all_views, read_jsonl

PROCESSOR = ImageProcessor(IMAGE_SIZE, IMAGE_SIZE, 1 / 255, (127 / 255,) * 3, (128 / 255,) * 3)

Top = list[tuple[int, float]]
"""The likeliest classes of a picture and how likely each is, 0..1."""
BYTES_A_VIEW = CELLS * BACKBONE_WIDTH
TOP_FEATURE = 6.0
TILED_SHARES = {"coco": 0.5, "flickr": 0.25, "daquar": 0.3, "imagenet": 0.25, "grid": 0.4, "pasted": 0.3, "shapes": 0.3}
"""Which share of the training views of each source is looked at in tiles too."""
TILED_LATER = {"coco": 3.0, "daquar": 2.0, "grid": 2.0, "flickr": 1.0, "pasted": 0.7}
"""Which of the others follow, and how much earlier than others those of a source come."""


@lru_cache(maxsize=3000)
def read_photo(path: str) -> U8:
    """[H, W, 3] uint8 BGR."""
    import cv2

    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{path} cannot be read as a picture")
    return np.asarray(picture, dtype=np.uint8)


def draw(view: View) -> U8:
    """The picture of a view, [H, W, 3] uint8 BGR: the whole photo as it is, or a square of `side` if it is changed."""
    first = view["parts"][0]
    if len(view["parts"]) == 1 and first["crop"] == [0, 0, 1, 1]:
        photo = read_photo(first["path"])
        return photo[:, ::-1].copy() if first["flip"] else photo
    side = view.get("side", IMAGE_SIZE)
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    for part in view["parts"]:
        photo = read_photo(part["path"])
        rows, cols = photo.shape[:2]
        x0, y0, x1, y1 = part["crop"]
        piece = photo[
            int(y0 * rows) : max(int(y0 * rows) + 2, int(y1 * rows)),
            int(x0 * cols) : max(int(x0 * cols) + 2, int(x1 * cols)),
        ]
        left, top, right, bottom = (round(v * side) for v in part["at"])
        fit = ImageProcessor(bottom - top, right - left, 1.0, (0, 0, 0), (1, 1, 1)).resize(np.ascontiguousarray(piece))
        fit = fit[:, ::-1] if part["flip"] else fit
        bright = np.clip(fit.astype(np.float32) * part.get("gain", 1.0), 0, 255)
        canvas[top:bottom, left:right] = bright.astype(np.uint8)
    return canvas


def tiles_of(picture: U8) -> list[U8]:
    """The four overlapping tiles of a picture, row by row, as the runtime cuts them."""
    detail = DetailViews(TILE_ROWS, TILE_COLUMNS, TILE_OVERLAP)
    return [np.ascontiguousarray(tile) for tile in detail.cut(picture)]


def open_session(path: Path) -> Any:
    """The backbone on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def encode(session: Any, picture: U8) -> F32:
    """[49, 1280] float32."""
    features: F32 = session.run(None, {"pixels": PROCESSOR(picture)[0]})[0][0]
    return features


def as_bytes(features: F32) -> NDArray[np.uint8]:
    """0..6 to 0..255, rounded."""
    return np.asarray(np.clip(np.round(features * (255 / TOP_FEATURE)), 0, 255), dtype=np.uint8)


def as_floats(stored: NDArray[np.uint8]) -> F32:
    """0..255 back to 0..6."""
    made: F32 = np.asarray(stored, dtype=np.float32) * np.float32(TOP_FEATURE / 255)
    return made


def tiled(views: list[View]) -> list[int]:
    """The numbers of the views that are looked at in tiles, in an order in which every beginning is a fair sample.

    First the share of TILED_SHARES, then whatever else of TILED_LATER.
    """
    rng, chosen = random.Random(4), []
    for i, view in enumerate(views):
        share = TILED_SHARES.get(view["source"], 0.0)
        share = 1.0 if view["split"] == "val" else share if view["split"] == "train" else 0.0
        if rng.random() < share:
            chosen.append(i)
    rng.shuffle(chosen)
    first = set(chosen)
    weights = [TILED_LATER.get(view["source"], 0.0) if view["split"] == "train" else 0.0 for view in views]
    rest = [i for i, weight in enumerate(weights) if weight and i not in first]
    return chosen + sorted(rest, key=lambda i: -(rng.random() ** (1 / weights[i])))


@dataclass(slots=True)
class Cache:
    """Views that have features by now; `tile_row` is the number in `tiles` of a view that has tiles."""

    views: list[View]
    features: NDArray[np.uint8]
    tiles: NDArray[np.uint8]
    tile_row: dict[int, int]

    @classmethod
    def load(cls, paths: Paths) -> Cache:
        with paths.views.open(encoding="utf-8") as lines:
            every = [json.loads(line) for line in lines]
        done = min(len(every), paths.features.stat().st_size // BYTES_A_VIEW)
        features = np.memmap(paths.features, dtype=np.uint8, mode="r", shape=(done, CELLS, BACKBONE_WIDTH))
        order = tiled(every)
        have = paths.tiles.stat().st_size // (TILES * BYTES_A_VIEW) if paths.tiles.exists() else 0
        shape = (have, TILES, CELLS, BACKBONE_WIDTH)
        tiles = np.memmap(paths.tiles, dtype=np.uint8, mode="r", shape=shape) if have else np.zeros(shape, np.uint8)
        return cls(every[:done], features, tiles, {row: i for i, row in enumerate(order[:have]) if row < done})

    def overview(self, rows: list[int]) -> F32:
        """[b, 49, 1280] float32."""
        return as_floats(self.features[rows])

    def detail(self, rows: list[int]) -> F32:
        """[b, 4, 49, 1280] float32 of views that have tiles."""
        return as_floats(self.tiles[[self.tile_row[row] for row in rows]])


def class_guesses(cache: Cache, backbone: Backbone, path: Path) -> list[Top]:
    """The most likely ImageNet class of each view, from the backbone's own head; kept in `path`."""
    if path.exists():
        kept = np.load(path)
        if len(kept) >= len(cache.views):
            return [[(int(i), float(p))] for i, p in kept[: len(cache.views)]]
    found: list[Top] = []
    with torch.no_grad():
        for start in range(0, len(cache.views), 256):
            part = torch.from_numpy(as_floats(cache.features[start : start + 256]))
            best = torch.softmax(backbone.classify(part), dim=-1).max(dim=-1)
            found += [[(int(i), float(p))] for i, p in zip(best.indices, best.values, strict=True)]
    np.save(path, np.asarray([row[0] for row in found], dtype=np.float32))
    return found


def grow_file(path: Path, total: int, unit: int, make: Callable[[int], F32]) -> None:
    """Appends `make(i)` for every i that `path` does not hold yet, `unit` bytes each."""
    done = path.stat().st_size // unit if path.exists() else 0
    started = time.monotonic()
    with path.open("ab") as out:
        out.truncate(done * unit)
        for i in range(done, total):
            out.write(as_bytes(make(i)).tobytes())
            if i % 500 == 0:
                print(f"{path.name} {i}/{total}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    paths = default_paths()
    paths.work.mkdir(parents=True, exist_ok=True)
    if not paths.encoder.exists():
        export_backbone(paths.encoder)
    session = open_session(paths.encoder)
    if not paths.views.exists():
        with paths.views.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(view) + "\n" for view in all_views(paths))
    views = read_jsonl(paths.views)
    grow_file(paths.features, len(views), BYTES_A_VIEW, lambda i: encode(session, draw(views[i])))
    order = tiled(views)

    def detail(i: int) -> F32:
        """[4, 49, 1280]; a changed view is drawn twice as large for it."""
        picture = draw({"side": 2 * IMAGE_SIZE, **views[order[i]]})
        return np.stack([encode(session, tile) for tile in tiles_of(picture)])

    grow_file(paths.tiles, len(order), TILES * BYTES_A_VIEW, detail)


if __name__ == "__main__":
    main()
