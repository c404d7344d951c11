"""Frames to measure on: a synthetic texture, and real clips and photos where there is a folder with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.errors import InputError
from edge_agent.types import U8

TEXTURE = "texture"
CLIPS = {"bikes": "clips/bikes.mp4", "bigbuckbunny": "clips/bigbuckbunny.mp4"}
PHOTOS = {"coco": "coco/images"}
INPUTS = (TEXTURE, *CLIPS, *PHOTOS)
REAL_FRAMES = 8
MAX_SIDE = 4096


@dataclass(frozen=True, slots=True)
class Scene:
    """Frames of one size for one case: [H, W, 3] BGR or [H, W] grey uint8, all of the same kind.

    Two of them stay in the cache; more than fit are read from memory each time.
    """

    case: str
    frames: list[U8]
    tile: int = 32
    edge_threshold: float = 128.0
    change_threshold: int = 25

    def at(self, index: int) -> U8:
        """The frame of that number, round and round."""
        return self.frames[index % len(self.frames)]

    def before(self, index: int) -> U8:
        """The one before it."""
        return self.frames[(index - 1) % len(self.frames)]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.frames[0].shape[0], self.frames[0].shape[1]


def parse_size(text: str) -> tuple[int, int] | None:
    """`640x480` as (width, height) of 16 to 4096 pixels; None for anything else."""
    width, _, height = text.lower().partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        return None
    sides = int(width[:6]), int(height[:6])
    return sides if all(16 <= side <= MAX_SIDE for side in sides) else None


def there(data: Path | None) -> tuple[str, ...]:
    """Which inputs there are: the texture always, real ones where the folder has them."""
    if data is None:
        return (TEXTURE,)
    return tuple(name for name in INPUTS if name == TEXTURE or (data / {**CLIPS, **PHOTOS}[name]).exists())


def base_frames(name: str, width: int, height: int, data: Path | None) -> list[U8]:
    """A few [height, width, 3] BGR frames of one input; at least two. Raises InputError."""
    if name == TEXTURE:
        return texture(width, height)
    assert data is not None
    import cv2

    frames = _clip(data / CLIPS[name]) if name in CLIPS else _photos(data / PHOTOS[name])
    return [np.ascontiguousarray(cv2.resize(_cut(frame, width, height), (width, height))) for frame in frames]


def texture(width: int, height: int) -> list[U8]:
    """Two [height, width, 3] frames of slow waves under a little camera noise."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[0:height, 0:width]
    waves = (128 + 60 * np.sin(x / 37) + 50 * np.sin(y / 23 + x / 91))[..., None].astype(np.float32)
    noise = (rng.standard_normal((height, width, 3), dtype=np.float32) * 6 for _ in range(2))
    return [np.clip(waves + grain, 0, 255).astype(np.uint8) for grain in noise]


def multiplied(frames: list[U8], total_bytes: int) -> list[U8]:
    """As many shifted copies as take `total_bytes` together, in order; at least two."""
    count = max(2, -(-total_bytes // frames[0].nbytes))
    return [np.roll(frames[i % len(frames)], 7 * (i // len(frames)), axis=1).copy() for i in range(count)]


def _clip(path: Path) -> list[U8]:
    from edge_agent.sources.clip import read_clip

    return [frame.pixels for frame in read_clip(path, REAL_FRAMES).frames]


def _photos(folder: Path) -> list[U8]:
    from edge_agent.sources.photo import load_photo

    paths = sorted(folder.glob("*.jpg"))[:REAL_FRAMES]
    if len(paths) < 2:
        raise InputError(f"{folder} has fewer than two .jpg photos", "name another folder with --data")
    return [load_photo(path).pixels for path in paths]


def _cut(frame: U8, width: int, height: int) -> U8:
    """The middle of a frame with the sides' ratio that is wanted."""
    rows, columns = frame.shape[:2]
    wanted_columns, wanted_rows = min(columns, rows * width // height), min(rows, columns * height // width)
    top, left = (rows - wanted_rows) // 2, (columns - wanted_columns) // 2
    return frame[top : top + max(1, wanted_rows), left : left + max(1, wanted_columns)]
