"""Short clips for what is learned of changes: photos of training under a camera that stands or pans, something that
moves in front of it, noise, and JPEG's. And a clip that no test and no measurement uses.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.sources.photo import load_photo
from edge_agent.types import U8

FRAMES = 4
SHOTS = ((0, 40), (60, 100))  # frames of the clip
QUALITIES = (60, 75, 90)
PANS = (0.0, 0.0, 0.0, 0.004, 0.02)  # the most of the width in a frame; mostly the camera stands


def photo_clip(photo: U8, other: U8, rng: random.Random) -> list[U8]:
    """FRAMES frames of `photo`, a small `other` moving before it."""
    height, width = photo.shape[:2]
    size = rng.uniform(0.15, 0.4)
    thing = cv2.resize(other, (max(8, int(width * size)), max(8, int(height * size))))
    pan, turn = rng.uniform(0, rng.choice(PANS)), rng.uniform(0, 6.28)
    speed, way, at = rng.uniform(0.002, 0.03), rng.uniform(0, 6.28), (rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.6))
    noise, quality, made = rng.uniform(0.5, 3), rng.choice(QUALITIES), []
    out, grain = (int(width * 0.8), int(height * 0.8)), np.random.default_rng(rng.randrange(1 << 30))
    for t in range(FRAMES):
        left = min(max((width - out[0]) / 2 + pan * width * t * np.cos(turn), 0), width - out[0] - 1)
        top = min(max((height - out[1]) / 2 + pan * height * t * np.sin(turn), 0), height - out[1] - 1)
        frame = cv2.warpAffine(photo, _moved(-left, -top), out, borderMode=cv2.BORDER_REFLECT)
        there = _moved((at[0] + speed * t * np.cos(way)) * out[0], (at[1] + speed * t * np.sin(way)) * out[1])
        mask = cv2.warpAffine(np.full(thing.shape[:2], 255, np.uint8), there, out)[..., None] / 255
        mixed = frame * (1 - mask) + cv2.warpAffine(thing, there, out) * mask
        noisy = np.clip(mixed + grain.normal(0, noise, mixed.shape), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        made.append(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8))
    return made


def photo_clips(photos: list[str], count: int, seed: int = 1) -> list[list[U8]]:
    """Clips of some of the photos."""
    rng = random.Random(seed)
    chosen = rng.sample(photos, count)
    return [photo_clip(load_photo(Path(p)).pixels, load_photo(Path(rng.choice(photos))).pixels, rng) for p in chosen]


def shots(path: Path) -> list[list[U8]]:
    """The SHOTS of a clip, every frame."""
    import av

    with av.open(str(path)) as container:
        frames = [np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in container.decode(video=0)]
    return [frames[first:behind] for first, behind in SHOTS]


def _moved(right: float, down: float) -> NDArray[Any]:
    return np.array([[1, 0, right], [0, 1, down]], dtype=np.float32)
