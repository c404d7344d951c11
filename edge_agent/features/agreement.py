"""How closely kernels must agree with the reference, and a quick check that those in use do on this machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.features import kernels, reference
from edge_agent.types import U8

ENTROPY_TOLERANCE_BITS = 1e-5
SOUND_TOLERANCES = {
    "flux": (1e-4, 1e-4),
    "spectral_entropy": (0.0, 1e-4),
    "flatness": (0.0, 1e-4),
    "energy": (1e-5, 1e-12),
    "zero_crossing_rate": (1e-6, 0.0),
}
"""Relative and absolute tolerance of each row of `SoundStream.feed` against the float64 reference."""


def selftest() -> list[str]:
    """One line for each feature that the kernels in use get wrong on a small built-in input; empty if all is well."""
    try:
        chosen = kernels.choose()
    except ValueError as error:
        return [str(error)]
    problems = []
    if kernels.native_import_error():
        problems.append(f"the native kernels cannot be imported: {kernels.native_import_error()}")
    return problems + _check_vision(chosen) + _check_sound(chosen)


def _pictures() -> tuple[U8, U8]:
    """Two [47, 83, 3] pictures with a gradient, a texture and a moving block; sizes that no vector divides."""
    y, x, channel = np.mgrid[0:47, 0:83, 0:3]
    first = ((x * 3 + y * 5 + channel * 40 + (x * y) % 17 * 6) % 256).astype(np.uint8)
    second = first.copy()
    second[10:30, 20:60] ^= 0x7F
    return first, second


def _check_vision(chosen: kernels.Kernels) -> list[str]:
    first, second = (reference.grey(picture) for picture in _pictures())
    bits, bit_map = chosen.tile_entropy(second, 32)
    wanted_bits, wanted_map = reference.tile_entropy(second, 32)
    difference, wanted_difference = (
        chosen.difference(first, second, 25, 32),
        reference.difference(first, second, 25, 32),
    )
    checks = {
        "grey": np.array_equal(chosen.grey(_pictures()[1]), second),
        "histogram": np.array_equal(chosen.histogram(second), reference.histogram(second)),
        "entropy": abs(bits - wanted_bits) <= ENTROPY_TOLERANCE_BITS,
        "tile entropy": np.allclose(bit_map, wanted_map, rtol=0.0, atol=ENTROPY_TOLERANCE_BITS),
        "edges": chosen.edges(second, 128.0)[:3] == reference.edges(second, 128.0)[:3],
        "frame difference": difference[:2] == wanted_difference[:2],
        "tile difference": np.allclose(difference[4], wanted_difference[4]),
    }
    return _failures(chosen, checks)


def _check_sound(chosen: kernels.Kernels) -> list[str]:
    n = np.arange(3000)
    samples = (0.4 * np.sin(0.31 * n) + 0.1 * np.sin(2.2 * n * (1 + n / 9000))).astype(np.float32)
    samples[1500] = 0.9
    rows, wanted = chosen.sound_stream(512, 160).feed(samples), reference.SoundStream().feed(samples)
    return _failures(chosen, sound_agreement(rows, wanted))


def sound_agreement(rows: NDArray[np.float32], wanted: NDArray[np.float32]) -> dict[str, bool]:
    """For each feature, whether two results of `SoundStream.feed` [5, frames] agree within SOUND_TOLERANCES."""
    if rows.shape != wanted.shape:
        return {"number of sound frames": False}
    return {
        name: np.allclose(row, wanted_row, rtol=relative, atol=absolute)
        for (name, (relative, absolute)), row, wanted_row in zip(SOUND_TOLERANCES.items(), rows, wanted, strict=True)
    }


def _failures(chosen: kernels.Kernels, checks: dict[str, bool]) -> list[str]:
    return [f"{chosen.name} kernels: {name} differs from the reference" for name, good in checks.items() if not good]
