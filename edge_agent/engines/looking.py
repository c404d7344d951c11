"""What was encoded of the last picture, kept for the next question about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edge_agent.types import U8, Embeddings

MAX_KEPT_BYTES = 16 << 20
"""Of a picture's own pixels, 5 megapixels: a larger one is encoded anew, its copy would take more room than time."""
SAMPLED = 16  # every so many rows and columns are compared first: other pictures nearly always differ there


class LastLook:
    """Embeddings of the last picture. A picture is the same if every pixel is: cameras write into buffers again.

    `look` and `tiles` encode [H, W, 3] uint8; what they raise comes through, and nothing is kept then. From one thread
    at a time.
    """

    def __init__(
        self, look: Callable[[U8], tuple[Embeddings, ...]], tiles: Callable[[U8], Iterator[Embeddings]]
    ) -> None:
        self._encode, self._encode_tiles = look, tiles
        self._pixels: U8 | None = None
        self._views: tuple[Embeddings, ...] | None = None
        self._tiles: tuple[Embeddings, ...] | None = None

    def look(self, pixels: U8) -> tuple[Embeddings, ...]:
        """What the device's decoder reads of the picture."""
        self._turn_to(pixels)
        if self._views is None:
            self._views = self._encode(pixels)
        return self._views

    def tiles(self, pixels: U8) -> Iterator[Embeddings]:
        """Its detail views, each made when it is asked for; kept once all were."""
        self._turn_to(pixels)
        if self._tiles is not None:
            yield from self._tiles
            return
        kept, made = self._pixels, list[Embeddings]()
        for tile in self._encode_tiles(pixels):
            made.append(tile)
            yield tile
        if self._pixels is kept:  # else another picture came in between
            self._tiles = tuple(made)

    def _turn_to(self, pixels: U8) -> None:
        if self._pixels is not None and _same(self._pixels, pixels):
            return
        self._views = self._tiles = None
        self._pixels = pixels.copy() if pixels.nbytes <= MAX_KEPT_BYTES else np.empty((0, 0, 3), np.uint8)


def _same(one: U8, other: U8) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.array_equal(one[::SAMPLED, ::SAMPLED], other[::SAMPLED, ::SAMPLED]) and np.array_equal(one, other))
