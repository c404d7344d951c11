"""Pictures for the idefics3 family: scaled up, cut into square tiles, and the whole beside them, as its processor does.

The steps are those of Idefics3ImageProcessor: the longest edge to `longest`, then (splitting) both edges up to
multiples of `tile`, tiles row by row, and the whole squeezed to one tile; or (not splitting) only the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.types import F32, U8
from edge_agent.vlm.image_processor import check_picture
from edge_agent.vlm.manifest import VERIFY
from edge_agent.vlm.resample import resize

MAX_EDGE = 4096
LANCZOS = 1


@dataclass(frozen=True, slots=True)
class View:
    """`pixels` [1, 1, 3, H, W] float32 of a tile at `place` (row, column, from 1), or of the whole picture (None)."""

    pixels: F32
    place: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class SplittingProcessor:
    """Settings of an idefics3 `preprocessor_config.json`; sizes in pixels."""

    longest: int
    tile: int
    splitting: bool
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], splitting: bool | None = None) -> SplittingProcessor:
        """Reads the file's keys; `splitting` None: as the file says. Raises ModelError if one is missing or odd."""
        try:
            made = cls(
                longest=int(config["size"]["longest_edge"]),
                tile=int(config["max_image_size"]["longest_edge"]),
                splitting=bool(config.get("do_image_splitting", True)) if splitting is None else splitting,
                rescale=float(config["rescale_factor"]),
                mean=tuple(float(v) for v in config["image_mean"]),
                std=tuple(float(v) for v in config["image_std"]),
            )
            resample = int(config.get("resample", LANCZOS))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"preprocessor_config.json is not that of an idefics3 model ({error!r})", VERIFY
            ) from error
        if not (
            0 < made.tile <= made.longest <= MAX_EDGE and len(made.mean) == len(made.std) == 3 and min(made.std) > 0
        ):
            raise ModelError("preprocessor_config.json has a size or std out of range", VERIFY)
        if resample != LANCZOS:
            raise ModelError(f"preprocessor_config.json asks for resampling {resample}, not Lanczos (1)", VERIFY)
        return made

    def views(self, bgr: U8) -> Iterator[View]:
        """The tiles of a [H, W, 3] uint8 BGR picture row by row, then the whole. Raises InputError."""
        rgb = check_picture(bgr)[:, :, ::-1]
        scaled = resize(rgb, *to_longest(int(rgb.shape[0]), int(rgb.shape[1]), self.longest))
        if not self.splitting:
            yield View(self._pixels(resize(scaled, self.tile, self.tile)), None)
            return
        scaled = resize(scaled, *to_tiles(int(scaled.shape[0]), int(scaled.shape[1]), self.tile))
        rows, columns = scaled.shape[0] // self.tile, scaled.shape[1] // self.tile
        if rows * columns > 1:
            for row, column in ((r, c) for r in range(rows) for c in range(columns)):
                top, left = row * self.tile, column * self.tile
                yield View(self._pixels(scaled[top : top + self.tile, left : left + self.tile]), (row + 1, column + 1))
        yield View(self._pixels(resize(scaled, self.tile, self.tile)), None)

    def _pixels(self, rgb: U8) -> F32:
        """[tile, tile, 3] uint8 to [1, 1, 3, tile, tile] float32, a new array."""
        scaled = (rgb.astype(np.float64) * self.rescale).astype(np.float32)
        values = (scaled - np.asarray(self.mean, dtype=np.float32)) / np.asarray(self.std, dtype=np.float32)
        made: F32 = np.ascontiguousarray(values.transpose(2, 0, 1)[None, None])
        return made


def to_longest(height: int, width: int, longest: int) -> tuple[int, int]:
    """(height, width) with the longer edge `longest`; the other made even, at least 1, at most MAX_EDGE."""
    aspect = width / height
    if width >= height:
        made = int(longest / aspect)
        return min(MAX_EDGE, max(1, made + made % 2)), longest
    made = int(longest * aspect)
    return longest, min(MAX_EDGE, max(1, made + made % 2))


def to_tiles(height: int, width: int, tile: int) -> tuple[int, int]:
    """(height, width) rounded up to multiples of `tile`: first the longer edge, then what keeps the shape."""
    aspect = width / height
    if width >= height:
        wide = math.ceil(width / tile) * tile
        return math.ceil(int(wide / aspect) / tile) * tile, wide
    high = math.ceil(height / tile) * tile
    return high, math.ceil(int(high * aspect) / tile) * tile
