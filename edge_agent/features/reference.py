"""The features in NumPy: the oracle that the kernels are tested against, and the fallback where they are not built.

Written for clarity, in float64 where the kernels use float32. Same names, arguments, results and errors as `_core`.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_agent.types import F32, U8

POWER_FLOOR = 1e-12
MAX_SAMPLE = 2.0**20
MAX_SIDE = 65535
MAX_PIXELS = 2**28

_FRAMES_AT_ONCE = 256


def grey(image: U8, out: U8 | None = None) -> U8:
    """[H, W, 3] uint8 BGR -> [H, W] uint8: (29 B + 150 G + 77 R + 128) >> 8; written to `out` where it is given."""
    _check_image(image, "image")
    if image.ndim != 3:
        raise ValueError(f"image must be BGR, [H, W, 3]; its shape is {image.shape}")
    weighted = image.astype(np.uint32) @ np.array([29, 150, 77], dtype=np.uint32)  # [H, W] uint32
    result = np.asarray((weighted + 128) >> 8, dtype=np.uint8)
    if out is None:
        return result
    _check_destination(out, image)
    np.copyto(out, result)
    return out


def histogram(image: U8) -> NDArray[np.uint32]:
    """[H, W] uint8 -> [256] uint32 counts."""
    _check_grey(image, "image")
    return np.bincount(image.ravel(), minlength=256).astype(np.uint32)


def entropy(image: U8) -> float:
    """[H, W] uint8 -> -sum p log2 p of the 256-bin histogram, 0..8 bits."""
    counts = histogram(image)
    return _entropy_bits(counts)


def _entropy_bits(counts: NDArray[np.uint32]) -> float:
    p = counts[counts > 0] / counts.sum()
    return max(0.0, float(-(p * np.log2(p)).sum()))


def tile_entropy(image: U8, tile: int = 32) -> tuple[float, F32]:
    """[H, W] uint8 -> bits of the whole, and of each tile [rows, cols] float32; edge tiles are smaller."""
    _check_grey(image, "image")
    _check_tile(tile)
    rows, cols = _grid(image, tile)
    bits = np.empty((rows, cols), dtype=np.float32)
    for row in range(rows):
        for col in range(cols):
            block = image[row * tile : (row + 1) * tile, col * tile : (col + 1) * tile]
            bits[row, col] = _entropy_bits(histogram(block))
    return entropy(image), bits


def edges(image: U8, threshold: float = 128.0) -> tuple[int, int, int, float, float]:
    """[H, W] uint8 -> edge pixels, sums of the Laplacian and of its square, edge density 0..1, Laplacian variance.

    Over interior pixels only. An edge pixel has gx^2 + gy^2 > threshold^2 with the unscaled 3x3 Sobel operators; the
    Laplacian is that of the 4 neighbours.
    """
    _check_grey(image, "image")
    _check_edge_threshold(threshold)
    height, width = image.shape
    if height < 3 or width < 3:
        return 0, 0, 0, 0.0, 0.0
    p = image.astype(np.int64)
    column = p[:, 2:] - p[:, :-2]  # [H, W-2]
    row = p[2:] - p[:-2]  # [H-2, W]
    gx = column[:-2] + 2 * column[1:-1] + column[2:]  # [H-2, W-2]
    gy = row[:, :-2] + 2 * row[:, 1:-1] + row[:, 2:]  # [H-2, W-2]
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    count = int((gx * gx + gy * gy > np.floor(threshold * threshold)).sum())
    total, squares, n = int(laplacian.sum()), int((laplacian * laplacian).sum()), laplacian.size
    return count, total, squares, count / n, (n * squares - total * total) / (n * n)


def difference(previous: U8, current: U8, threshold: int = 25, tile: int = 32) -> tuple[int, int, float, float, F32]:
    """Two [H, W] uint8 -> sum of |d|, pixels with |d| > threshold, mean |d|, changed share, mean |d| a tile."""
    _check_grey(previous, "previous")
    _check_grey(current, "current")
    if previous.shape != current.shape:
        raise ValueError(f"current must have the shape of previous; its shape is {current.shape}")
    _check_change_threshold(threshold)
    _check_tile(tile)
    d = np.abs(current.astype(np.int64) - previous.astype(np.int64))  # [H, W]
    rows, cols = _grid(current, tile)
    means = np.empty((rows, cols), dtype=np.float32)
    for row in range(rows):
        for col in range(cols):
            means[row, col] = d[row * tile : (row + 1) * tile, col * tile : (col + 1) * tile].mean()
    absolute, changed = int(d.sum()), int((d > threshold).sum())
    return absolute, changed, absolute / d.size, changed / d.size, means


class VisionStream:
    """A stream of frames that remembers the last grey frame."""

    def __init__(self, tile: int = 32, edge_threshold: float = 128.0, change_threshold: int = 25) -> None:
        _check_tile(tile)
        _check_edge_threshold(edge_threshold)
        _check_change_threshold(change_threshold)
        self._tile = tile
        self._edge_threshold = edge_threshold
        self._change_threshold = change_threshold
        self._previous: U8 | None = None
        self._lock = threading.Lock()

    def analyze(
        self, image: U8, entropy_map: F32 | None = None, motion_map: F32 | None = None, /
    ) -> tuple[float, F32, float, float, bool, float, float, F32]:
        """As `_core.VisionStream.analyze`."""
        _check_image(image, "image")
        if (entropy_map is None) != (motion_map is None):
            raise TypeError("analyze takes image, or image, entropy_map and motion_map")
        shape = -(-image.shape[0] // self._tile), -(-image.shape[1] // self._tile)
        entropy_map = _checked_map(entropy_map, "entropy_map", shape)
        motion_map = _checked_map(motion_map, "motion_map", shape)
        current = grey(image) if image.ndim == 3 else image.copy()
        bits, entropy_map[:] = tile_entropy(current, self._tile)
        _, _, _, density, variance = edges(current, self._edge_threshold)
        with self._lock:
            previous, self._previous = self._previous, current
        if previous is None or previous.shape != current.shape:
            motion_map[:] = 0.0
            return bits, entropy_map, density, variance, False, 0.0, 0.0, motion_map
        _, _, mean, share, motion_map[:] = difference(previous, current, self._change_threshold, self._tile)
        return bits, entropy_map, density, variance, True, mean, share, motion_map

    def analyze_many(self, images: U8, /) -> tuple[NDArray[Any], ...]:
        """As `_core.VisionStream.analyze_many`."""
        if not isinstance(images, np.ndarray) or images.ndim < 3 or len(images) == 0:
            raise ValueError("images must be [N, H, W] grey or [N, H, W, 3] BGR, at least one")
        return tuple(np.array(parts) for parts in zip(*(self.analyze(image) for image in images), strict=True))

    def reset(self) -> None:
        """Forget the last frame."""
        self._previous = None


class SoundStream:
    """A stream of mono sound cut into STFT frames; `window` a power of two from 32 to 8192, `hop` from 1 to 2**20.

    For one thread at a time; `edge_agent.features.SoundFeatureStream` sees to that.
    """

    def __init__(self, window: int = 512, hop: int = 160) -> None:
        if not 32 <= window <= 8192 or window & (window - 1):
            raise ValueError(f"window must be a power of two from 32 to 8192 samples, not {window}")
        if not 1 <= hop <= 2**20:
            raise ValueError(f"hop must be from 1 to 1048576 samples, not {hop}")
        self.window = window
        self.hop = hop
        self._hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)  # [window] float64
        self.reset()

    def reset(self) -> None:
        """Forget everything fed so far."""
        self._pending = np.zeros(0)
        self._skip = 0
        self._previous: NDArray[np.float64] | None = None

    def feed(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> F32:
        """[N] float32, or int16 (divided by 32768) -> [5, frames] float32, as `_core.SoundStream.feed`."""
        chunk = _checked_samples(samples)
        skipped = min(self._skip, len(chunk))
        self._skip -= skipped
        pending = np.concatenate([self._pending, chunk[skipped:]])  # [samples] float64
        count = max(0, (len(pending) - self.window) // self.hop + 1)
        features = np.zeros((5, count), dtype=np.float32)
        for first in range(0, count, _FRAMES_AT_ONCE):
            last = min(count, first + _FRAMES_AT_ONCE)
            span = pending[first * self.hop : (last - 1) * self.hop + self.window]
            frames = sliding_window_view(span, self.window)[:: self.hop]  # [last - first, window]
            features[:, first:last] = self._describe(frames)
        self._skip += max(0, count * self.hop - len(pending))
        self._pending = pending[count * self.hop :].copy()
        return features

    def _describe(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        windowed = frames * self._hann  # [frames, window]
        magnitude = 2 * np.abs(np.fft.rfft(windowed, axis=1)) / self._hann.sum()  # [frames, bins]
        before = magnitude[:1] if self._previous is None else self._previous[None]
        flux = np.maximum(0.0, np.diff(magnitude, axis=0, prepend=before)).sum(axis=1)
        self._previous = magnitude[-1]
        power = magnitude**2
        floored = np.maximum(power, POWER_FLOOR)
        bins = power.shape[1]
        total = floored.sum(axis=1)
        entropy_nats = np.log(total) - (floored * np.log(floored)).sum(axis=1) / total
        flatness = np.exp(np.log(floored).mean(axis=1)) / (total / bins)
        silent = power.sum(axis=1) <= bins * POWER_FLOOR
        below = frames < 0
        return np.stack(
            [
                flux,
                np.where(silent, 0.0, np.clip(entropy_nats / np.log(bins), 0.0, 1.0)),
                np.where(silent, 0.0, np.clip(flatness, 0.0, 1.0)),
                (windowed**2).mean(axis=1),
                (below[:, 1:] != below[:, :-1]).mean(axis=1),
            ]
        )


def _checked_samples(samples: NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.float64]:
    if not isinstance(samples, np.ndarray):
        raise TypeError(f"samples must be a NumPy array, not {type(samples).__name__}")
    if samples.dtype not in (np.dtype(np.float32), np.dtype(np.int16)):
        raise TypeError(f"samples must be an array of float32 or int16, not {samples.dtype}")
    if not samples.flags.aligned:
        raise ValueError(f"samples must be aligned; use array.copy(); its shape is {samples.shape}")
    if samples.ndim != 1:
        raise ValueError(f"samples must be mono, [N]; its shape is {samples.shape}")
    if len(samples) > 1 and samples.strides[0] != samples.itemsize:
        raise ValueError("samples must be contiguous; use numpy.ascontiguousarray")
    if samples.dtype == np.int16:
        return samples.astype(np.float64) / 32768.0
    if not bool(np.all(np.abs(samples) <= MAX_SAMPLE)):  # False for NaN too
        raise ValueError("samples must be finite and within +-1048576; nothing of this chunk was taken in")
    return samples.astype(np.float64)


def _check_image(image: U8, name: str) -> None:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(image).__name__}")
    if image.dtype != np.uint8:
        raise TypeError(f"{name} must be an array of uint8, not {image.dtype}")
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"{name} must be [H, W] grey or [H, W, 3] BGR; its shape is {image.shape}")
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise ValueError(f"{name} has no pixels; its shape is {image.shape}")
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ValueError(f"{name} is larger than 65535 a side or 268435456 pixels; its shape is {image.shape}")
    channels = 1 if image.ndim == 2 else 3
    packed = (width == 1 or image.strides[1] == channels) and (channels == 1 or image.strides[2] == 1)
    if not packed or (height > 1 and image.strides[0] < width * channels):
        raise ValueError(f"{name} must have packed pixels and rows in order; use numpy.ascontiguousarray")


def _check_destination(out: U8, image: U8) -> None:
    _check_image(out, "out")
    if out.shape != image.shape[:2]:
        raise ValueError(f"out must be [H, W] of the image; its shape is {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if np.may_share_memory(out, image):
        raise ValueError("out shares memory with the image")


def _check_grey(image: U8, name: str) -> None:
    _check_image(image, name)
    if image.ndim != 2:
        raise ValueError(f"{name} must be grey, [H, W]; its shape is {image.shape}")


def _checked_map(given: F32 | None, name: str, shape: tuple[int, int]) -> F32:
    if given is None:
        return np.empty(shape, dtype=np.float32)
    flags = isinstance(given, np.ndarray) and given.flags
    if not (flags and given.dtype == np.float32 and given.shape == shape and flags.carray):
        raise ValueError(
            f"{name} must be a writable, contiguous float32 array of shape {shape}, one for each tile; give None for a "
            "new one"
        )
    return given


def _check_tile(tile: int) -> None:
    if not 8 <= tile <= 1024:
        raise ValueError(f"tile must be from 8 to 1024 pixels, not {tile}")


def _check_edge_threshold(threshold: float) -> None:
    if not 0.0 <= threshold <= 10000.0:
        raise ValueError(f"edge_threshold must be from 0 to 10000, not {threshold}")


def _check_change_threshold(threshold: int) -> None:
    if not 0 <= threshold <= 255:
        raise ValueError(f"change_threshold must be from 0 to 255, not {threshold}")


def _grid(image: U8, tile: int) -> tuple[int, int]:
    """Rows and columns of tiles."""
    height, width = image.shape
    return -(-height // tile), -(-width // tile)
