"""Draws every view, runs the frozen backbone over it once and keeps the features: `python -m tools.train.features`.

Writes views.jsonl and features.f16 ([views, 49, 1280] float16, memory-mapped); goes on where it was stopped.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import F32, U8
from edge_agent.vlm.image_processor import ImageProcessor
from tools.train.backbone import export_backbone
from tools.train.settings import BACKBONE_WIDTH, IMAGE_SIZE, IMAGE_TOKENS, Paths, default_paths
from tools.train.views import View, all_views

PROCESSOR = ImageProcessor(IMAGE_SIZE, IMAGE_SIZE, 1 / 255, (127 / 255,) * 3, (128 / 255,) * 3)

BYTES_A_VIEW = IMAGE_TOKENS * BACKBONE_WIDTH * 2


@lru_cache(maxsize=3000)
def read_photo(path: str) -> U8:
    """[H, W, 3] uint8 BGR."""
    import cv2

    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{path} cannot be read as a picture")
    return np.asarray(picture, dtype=np.uint8)


def draw(view: View) -> U8:
    """The picture of a view, [H, W, 3] uint8 BGR: the whole photo as it is, or [224, 224, 3] if anything is changed."""
    first = view["parts"][0]
    if len(view["parts"]) == 1 and first["crop"] == [0, 0, 1, 1]:
        photo = read_photo(first["path"])
        return photo[:, ::-1].copy() if first["flip"] else photo
    canvas = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    for part in view["parts"]:
        photo = read_photo(part["path"])
        rows, cols = photo.shape[:2]
        x0, y0, x1, y1 = part["crop"]
        piece = photo[
            int(y0 * rows) : max(int(y0 * rows) + 2, int(y1 * rows)),
            int(x0 * cols) : max(int(x0 * cols) + 2, int(x1 * cols)),
        ]
        left, top, right, bottom = (round(v * IMAGE_SIZE) for v in part["at"])
        fit = ImageProcessor(bottom - top, right - left, 1.0, (0, 0, 0), (1, 1, 1)).resize(np.ascontiguousarray(piece))
        fit = fit[:, ::-1] if part["flip"] else fit
        bright = np.clip(fit.astype(np.float32) * part.get("gain", 1.0), 0, 255)
        canvas[top:bottom, left:right] = bright.astype(np.uint8)
    return canvas


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


def load_cache(paths: Paths) -> tuple[list[View], NDArray[np.float16]]:
    """Views that have features by now, and the features, memory-mapped."""
    done = paths.features.stat().st_size // BYTES_A_VIEW
    with paths.views.open(encoding="utf-8") as lines:
        views = [json.loads(line) for _, line in zip(range(done), lines, strict=False)]
    shape = (len(views), IMAGE_TOKENS, BACKBONE_WIDTH)
    return views, np.memmap(paths.features, dtype=np.float16, mode="r", shape=shape)


def main() -> None:
    paths = default_paths()
    paths.work.mkdir(parents=True, exist_ok=True)
    if not paths.encoder.exists():
        export_backbone(paths.encoder)
    session = open_session(paths.encoder)
    views: OrderedDict[int, View] = OrderedDict(enumerate(all_views(paths)))
    with paths.views.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(view) + "\n" for view in views.values())
    done = paths.features.stat().st_size // BYTES_A_VIEW if paths.features.exists() else 0
    started = time.monotonic()
    with paths.features.open("ab") as out_features:
        out_features.truncate(done * BYTES_A_VIEW)
        for i in range(done, len(views)):
            out_features.write(encode(session, draw(views[i])).astype(np.float16).tobytes())
            if i % 500 == 0:
                took = time.monotonic() - started
                print(f"{i}/{len(views)} views, {took:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
