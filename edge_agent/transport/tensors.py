"""Rows of float32 as int8 or int4 with one scale each: the native kernels, or the same in NumPy where there are none.

The functions here are the oracle that the kernels are tested against: same names, arguments, results (bit for bit) and
errors as in `edge_agent._core`, whose stub says what each does.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import UsageError
from edge_agent.types import F32, U8

try:
    from edge_agent import _core

    _NATIVE = sys.byteorder == "little"
except ImportError:  # a source tree that was never built, or a build for another Python
    _NATIVE = False

I8 = NDArray[np.int8]

_NO_DELTA = 255
_VARIABLE = "EDGE_AGENT_ISA"


class TensorKernels(Protocol):
    """What the codecs use of `edge_agent._core` or of this module."""

    def quantise_int8(self, x: F32, out: I8 | None = None, scales: F32 | None = None) -> tuple[I8, F32]: ...
    def quantise_int4(self, x: F32, out: U8 | None = None, scales: F32 | None = None) -> tuple[U8, F32]: ...
    def dequantise_int8(self, values: I8, scales: F32, out: F32 | None = None) -> F32: ...
    def dequantise_int4(self, values: U8, scales: F32, width: int, out: F32 | None = None) -> F32: ...


def choose() -> TensorKernels:
    """The native kernels, or this module where they are not built or EDGE_AGENT_ISA is `reference`. Raises UsageError
    where it names what this machine lacks.
    """
    name = os.environ.get(_VARIABLE, "")
    if name == "reference" or (not name and not _NATIVE):
        return sys.modules[__name__]
    available = _core.available_isas() if _NATIVE else []
    if name and name not in available:
        raise UsageError(
            f"{_VARIABLE}: no kernels for the instruction set {name!r} on this machine",
            f"available are {', '.join(['reference', *available])}",
        )
    return _core


def quantise_int8(x: F32, out: I8 | None = None, scales: F32 | None = None) -> tuple[I8, F32]:
    """[rows, width] float32 -> int8 of the same shape, and [rows] float32 scales."""
    values, steps = _quantised(x, 127)
    return _given(out, values.astype(np.int8)), _given(scales, steps)


def quantise_int4(x: F32, out: U8 | None = None, scales: F32 | None = None) -> tuple[U8, F32]:
    """[rows, width] float32 -> [rows, (width + 1) // 2] uint8, and [rows] float32 scales."""
    values, steps = _quantised(x, 7)
    halves = np.pad(values.astype(np.int8) & 15, ((0, 0), (0, x.shape[1] % 2))).astype(np.uint8)
    return _given(out, halves[:, ::2] | halves[:, 1::2] << 4), _given(scales, steps)


def dequantise_int8(values: I8, scales: F32, out: F32 | None = None) -> F32:
    """[rows, width] int8 and [rows] float32 scales -> [rows, width] float32."""
    _check_scales(scales)
    with np.errstate(over="ignore"):
        return _given(out, values.astype(np.float32) * scales[:, None])


def dequantise_int4(values: U8, scales: F32, width: int, out: F32 | None = None) -> F32:
    """[rows, (width + 1) // 2] uint8 and [rows] float32 scales -> [rows, width] float32."""
    if (width + 1) // 2 != values.shape[1]:
        raise ValueError(f"width must be {2 * values.shape[1] - 1} or {2 * values.shape[1]}, not {width}")
    halves = np.stack([values & 15, values >> 4], axis=2).reshape(len(values), -1)[:, :width]  # [rows, width] 0..15
    signed = (halves ^ 8).astype(np.int8) - np.int8(8)
    return dequantise_int8(signed, scales, out)


def row_changes(x: F32, previous: F32, out: F32 | None = None) -> F32:
    """Two [rows, width] float32 -> [rows] float32: the largest |x - previous| of each row."""
    _check_finite(x, "x")
    _check_finite(previous, "previous")
    with np.errstate(over="ignore"):
        return _given(out, np.abs(x - previous).max(axis=1))


def delta_int8(x: F32, values: I8, scales: F32, out: I8 | None = None, peaks: U8 | None = None) -> tuple[I8, U8]:
    """[rows, width] float32 and a quantised tensor before it -> int8 differences, and [rows] uint8 peaks."""
    _check_finite(x, "x")
    _check_scales(scales)
    with np.errstate(over="ignore"):
        steps = np.rint(x / np.where(scales > 0, scales, np.float32(1))[:, None])  # [rows, width]
    told = np.where(scales > 0, np.abs(steps).max(axis=1) <= 127, ~x.any(axis=1))
    differences = np.where(told[:, None], steps, 0) - values * told[:, None]
    told &= np.abs(differences).max(axis=1) <= 127
    differences = differences * told[:, None]
    largest = np.where(told, np.abs(differences).max(axis=1), _NO_DELTA)
    return _given(out, differences.astype(np.int8)), _given(peaks, largest.astype(np.uint8))


def add_delta_int8(values: I8, delta: I8, out: I8 | None = None) -> I8:
    """Two [rows, width] int8 -> their sum."""
    sums = values.astype(np.int16) + delta
    outside = (np.abs(sums) > 127).any(axis=1)
    if outside.any():
        raise ValueError(f"row {outside.argmax()} leaves -127..127 with its delta; nothing was written")
    return _given(out, sums.astype(np.int8))


def _quantised(x: F32, most: int) -> tuple[F32, F32]:
    """Whole numbers in -most..most, still float32, and the scale of each row."""
    _check_finite(x, "x")
    scales = np.abs(x).max(axis=1) / np.float32(most)  # [rows]
    with np.errstate(over="ignore"):  # a subnormal scale: the quotient is clipped
        values = np.clip(np.rint(x / np.where(scales > 0, scales, np.float32(1))[:, None]), -most, most)
    values[scales == 0] = 0
    return values, scales


def _check_finite(x: F32, name: str) -> None:
    wrong = ~np.isfinite(x)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        what = "NaN" if np.isnan(x[row, column]) else "infinite"
        raise ValueError(f"{name}[{row}, {column}] is {what}; nothing was written")


def _check_scales(scales: F32) -> None:
    wrong = ~(np.isfinite(scales) & (scales >= 0))
    if wrong.any():
        raise ValueError(f"scales[{wrong.argmax()}] must be finite and not negative; nothing was written")


def _given(out: NDArray[Any] | None, made: NDArray[Any]) -> NDArray[Any]:
    if out is None:
        return made
    out[...] = made
    return out
