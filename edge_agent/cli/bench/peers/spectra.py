"""The statistics of sound around any library's FFT, in NumPy; and NumPy's own FFT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.sounds import SoundScene
from edge_agent.types import F32

FLOOR = np.float32(1e-12)
FLUX_ONLY = "less: flux only"
NAMES = ("flux", "spectral_entropy", "flatness", "energy", "zero_crossing_rate")

Transform = Callable[[F32], NDArray[Any]]
"""[frames, window] float32 -> [frames, bins] complex."""


def contenders(scene: SoundScene) -> list[Contender]:
    """NumPy's FFT."""
    return around("numpy", "numpy", lambda frames: np.fft.rfft(frames, axis=1), scene)


def hann(window: int) -> F32:
    """The periodic Hann window, [window]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


def around(
    name: str, package: str, transform: Transform, scene: SoundScene, windowed: F32 | None = None
) -> list[Contender]:
    """Contenders that have flux only, and all statistics, with the FFT of a library.

    `windowed`: memory for the input of `transform`, [frames, window], where the library wants its own.
    """
    flux = Statistics(scene, transform, windowed, flux_only=True)
    whole = Statistics(scene, transform, windowed, flux_only=False)
    by_name = {f"{name}_flux": (flux, FLUX_ONLY), f"{name}_all": (whole, "same")}
    if scene.case == "flux_only":
        del by_name[f"{name}_all"]
    elif scene.case == "all_audio":
        del by_name[f"{name}_flux"]
    if scene.case != "hop":
        return [Contender(key, package, how.call, how.read, work) for key, (how, work) in by_name.items()]
    return [
        Contender(key, package, how.call_by_hop, how.read_by_hop, work, scene.frames)
        for key, (how, work) in by_name.items()
    ]


class Statistics:
    """Statistics of a stream's frames with a given FFT; remembers the last magnitudes."""

    def __init__(self, scene: SoundScene, transform: Transform, windowed: F32 | None, *, flux_only: bool) -> None:
        self._scene = scene
        self._windowed = windowed
        self._transform = transform
        self._flux_only = flux_only
        self._hann = hann(scene.window)
        self._scale = np.float32(2 / self._hann.sum(dtype=np.float64))
        self._before: F32 | None = None

    def call(self, index: int) -> list[Any]:
        """A whole chunk: each statistic is [frames]."""
        return self._describe(self._scene.span(index))

    def call_by_hop(self, index: int) -> list[Any]:
        """The same chunk, one frame at a time, straight from the samples: nothing has to be carried over."""
        span, hop, window = self._scene.span(index), self._scene.hop, self._scene.window
        return [self._describe(span[start : start + window]) for start in range(0, self._scene.length, hop)]

    def read(self, result: list[Any]) -> dict[str, Any]:
        """Results by name."""
        return dict(zip(NAMES, result, strict=False))

    def read_by_hop(self, results: list[list[Any]]) -> dict[str, Any]:
        """Results of single frames by name."""
        return {
            name: [float(one[0]) for one in column]
            for name, column in zip(NAMES, zip(*results, strict=True), strict=False)
        }

    def _describe(self, span: F32) -> list[Any]:
        if len(span) == self._scene.window:
            frames = span[None]  # [1, window]
        else:
            frames = sliding_window_view(span, self._scene.window)[:: self._scene.hop]  # [F, window]
        windowed = np.multiply(frames, self._hann, out=self._windowed)
        spectrum = self._transform(windowed)  # [F, bins] complex64
        power = spectrum.real**2 + spectrum.imag**2
        power *= self._scale * self._scale
        magnitude = np.sqrt(power)
        flux = self._flux(magnitude)
        return [flux] if self._flux_only else [flux, *self._shape(power), *self._shape_in_time(frames, windowed)]

    def _flux(self, magnitude: F32) -> F32:
        rise = np.empty_like(magnitude)
        np.subtract(magnitude[1:], magnitude[:-1], out=rise[1:])
        np.subtract(magnitude[0], magnitude[0] if self._before is None else self._before, out=rise[0])
        np.maximum(rise, 0, out=rise)
        self._before = magnitude[-1]
        result: F32 = rise.sum(axis=1)
        return result

    def _shape(self, power: F32) -> tuple[F32, F32]:
        """Spectral entropy and flatness; one logarithm a bin serves both."""
        bins = power.shape[1]
        floored = np.maximum(power, FLOOR)
        logarithm = np.log(floored)
        total = floored.sum(axis=1)
        entropy = (np.log(total) - np.einsum("fk,fk->f", floored, logarithm) / total) / np.log(bins)
        flatness = np.exp(logarithm.mean(axis=1)) * bins / total
        silent = power.sum(axis=1) <= bins * FLOOR
        return np.where(silent, 0, entropy), np.where(silent, 0, flatness)

    def _shape_in_time(self, frames: F32, windowed: F32) -> tuple[F32, F32]:
        """Energy and zero-crossing rate."""
        energy = np.einsum("fn,fn->f", windowed, windowed) / frames.shape[1]
        below = frames < 0
        crossings = np.count_nonzero(below[:, 1:] != below[:, :-1], axis=1)
        return energy, crossings / (frames.shape[1] - 1)
