"""Where the detail views of a picture lie: a grid of tiles that overlap a little, each looked at in full resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.types import U8

MAX_SIDE = 8


@dataclass(frozen=True, slots=True)
class DetailViews:
    """A grid of `rows` x `columns` tiles. `overlap` 0..0.5 is the share of a tile that its neighbour shows too."""

    rows: int
    columns: int
    overlap: float = 0.0

    @classmethod
    def from_config(cls, raw: Mapping[str, Any], name: object) -> DetailViews:
        """Reads `detail_views` of the file `name`. Raises ModelError for a value out of range."""
        try:
            made = cls(int(raw["rows"]), int(raw["columns"]), float(raw.get("overlap", 0.0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{name}: detail_views has no rows and columns ({error!r})") from error
        if not (1 <= made.rows <= MAX_SIDE and 1 <= made.columns <= MAX_SIDE and 0 <= made.overlap <= 0.5):
            raise ModelError(f"{name}: detail_views of {made.rows} x {made.columns}, overlap {made.overlap:g}")
        return made

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def cut(self, bgr: U8) -> list[U8]:
        """The tiles of a [H, W, 3] picture, row by row, as views of it: nothing is copied or resized."""
        height, width = int(bgr.shape[0]), int(bgr.shape[1])
        down, across = spans(height, self.rows, self.overlap), spans(width, self.columns, self.overlap)
        return [bgr[top:bottom, left:right] for top, bottom in down for left, right in across]


def spans(size: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """Begin and end of `count` equal spans of 0..size, each sharing `overlap` of itself with the next.

    A span is size / (count - (count - 1) * overlap) long; each has at least one pixel, whatever `size` >= 1 is.
    """
    length = size / (count - (count - 1) * overlap)
    found = []
    for index in range(count):
        begin = min(size - 1, round(index * length * (1 - overlap)))
        found.append((begin, max(begin + 1, min(size, round(index * length * (1 - overlap) + length)))))
    return found
