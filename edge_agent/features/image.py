"""Statistics of one picture."""

from __future__ import annotations

from edge_agent.features.kernels import choose
from edge_agent.types import U8, ImageFeatures

TILE = 32
EDGE_THRESHOLD = 128.0


def grey(pixels: U8, *, out: U8 | None = None, isa: str | None = None) -> U8:
    """[H, W, 3] uint8 BGR -> [H, W] uint8; a picture that is grey already, [H, W], is returned as it is.

    A picture in colour is written to `out`, [H, W] uint8, and that returned, where it is given: on pictures of 0.5 MB
    and more, new memory costs more than the work. ValueError where `out` is read-only or shares memory with `pixels`.
    """
    return pixels if pixels.ndim == 2 else choose(isa).grey(pixels, out)


def image_features(
    pixels: U8, *, tile: int = TILE, edge_threshold: float = EDGE_THRESHOLD, isa: str | None = None
) -> ImageFeatures:
    """Statistics of one [H, W] grey or [H, W, 3] BGR uint8 picture.

    `tile` 8..1024 pixels; `edge_threshold` 0..10000 on the unscaled Sobel magnitude (a step of 32 levels gives 128).
    TypeError for another dtype, ValueError for a shape, stride or size that does not fit.
    """
    bits, bit_map, density, variance, *_ = choose(isa).vision_stream(tile, edge_threshold, 0).analyze(pixels)
    height, width = pixels.shape[:2]
    return ImageFeatures(width, height, bits, bit_map, density, variance)
