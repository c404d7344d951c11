"""Quantised embeddings in NumPy, with memory that is used again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.tensors import TensorScene
from edge_agent.types import F32

NO_DELTA = 255
HALVES = "other: 16-bit floats, twice the bytes"
COPY = "less: copies the values, the least that any of these can take"


def contenders(scene: TensorScene) -> list[Contender]:
    """What NumPy offers for a scene."""
    work = Work(scene.shape)
    at = scene.at
    if scene.case == "quantise_int8":
        copied, halves = np.empty(scene.shape, np.float32), np.empty(scene.shape, np.float16)
        return [
            Contender("numpy", "numpy", lambda i: work.quantise(at(i), 127), _read_int8),
            Contender("numpy_fp16", "numpy", lambda i: _into(halves, at(i)), _read_halves, HALVES),
            Contender("memcpy", "numpy", lambda i: _into(copied, at(i)), work=COPY),
        ]
    if scene.case == "quantise_int4":
        return [Contender("numpy", "numpy", lambda i: work.packed(at(i)), _read_int4)]
    if scene.case == "row_changes":
        return [Contender("numpy", "numpy", lambda i: work.changes(at(i), scene.before(i)), _read_changes)]
    if scene.case == "delta_int8":
        prepared = [(values.copy(), scales) for values, scales in (work.quantise(x, 127) for x in scene.tensors)]
        return [
            Contender("numpy", "numpy", lambda i: work.delta(at(i), *prepared[(i - 1) % len(prepared)]), read_delta)
        ]
    levels, scales = prepared_codes(scene)
    if scene.case == "dequantise_int8":
        return [
            Contender(
                "numpy", "numpy", lambda i: work.restored(levels[i % len(levels)], scales[i % len(levels)]), read_x
            )
        ]
    return [
        Contender("numpy", "numpy", lambda i: work.unpacked(levels[i % len(levels)], scales[i % len(levels)]), read_x)
    ]


def _into(out: NDArray[Any], x: F32) -> NDArray[Any]:
    np.copyto(out, x, casting="same_kind")
    return out


def prepared_codes(scene: TensorScene) -> tuple[list[NDArray[Any]], list[F32]]:
    """What a dequantising scene starts from: codes of each matrix, int8 or packed int4, and scales."""
    work = Work(scene.shape)
    made = [work.packed(x) if scene.case.endswith("int4") else work.quantise(x, 127) for x in scene.tensors]
    return [codes.copy() for codes, _ in made], [scales for _, scales in made]


class Work:
    """The arithmetic, with memory for one shape [tokens, hidden]."""

    def __init__(self, shape: tuple[int, int]) -> None:
        tokens, hidden = shape
        self._hidden = hidden
        self._x = np.empty(shape, np.float32)
        self._codes = np.empty(shape, np.int8)
        self._even = hidden + hidden % 2
        self._nibbles = np.zeros((tokens, self._even), np.uint8)

    def quantise(self, x: F32, most: int) -> tuple[NDArray[np.int8], F32]:
        """Codes [tokens, hidden] within +-most, and scales [tokens]: the largest magnitude of a row / most."""
        scales = np.maximum(x.max(axis=1), -x.min(axis=1)) / np.float32(most)
        np.divide(x, np.where(scales > 0, scales, np.float32(1))[:, None], out=self._x)
        np.rint(self._x, out=self._x)
        np.copyto(self._codes, self._x, casting="unsafe")
        return self._codes, scales

    def packed(self, x: F32) -> tuple[NDArray[np.uint8], F32]:
        """Two values a byte, the first in the low half, within +-7; and scales [tokens]."""
        codes, scales = self.quantise(x, 7)
        np.bitwise_and(codes.view(np.uint8), np.uint8(15), out=self._nibbles[:, : self._hidden])
        return self._nibbles[:, ::2] | self._nibbles[:, 1::2] << np.uint8(4), scales

    def restored(self, codes: NDArray[np.int8], scales: F32) -> F32:
        """[tokens, hidden] float32 from int8."""
        np.multiply(codes, scales[:, None], out=self._x, dtype=np.float32, casting="same_kind")
        return self._x

    def unpacked(self, packed: NDArray[np.uint8], scales: F32) -> F32:
        """[tokens, hidden] float32 from two values a byte."""
        self._nibbles[:, ::2] = packed << np.uint8(4)
        self._nibbles[:, 1::2] = packed
        codes = self._nibbles[:, : self._hidden].view(np.int8) >> np.int8(4)  # the sign comes along
        return self.restored(codes, scales)

    def changes(self, x: F32, before: F32) -> F32:
        """[tokens]: the largest change of a row."""
        np.subtract(x, before, out=self._x)
        result: F32 = np.maximum(self._x.max(axis=1), -self._x.min(axis=1))
        return result

    def delta(self, x: F32, values: NDArray[np.int8], scales: F32) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        """Steps from quantised `values` to x, and the largest of a row; 255 and zeros where a row cannot be told so."""
        np.divide(x, np.where(scales > 0, scales, np.float32(1))[:, None], out=self._x)
        np.rint(self._x, out=self._x)
        outside = np.maximum(self._x.max(axis=1), -self._x.min(axis=1)) > 127
        np.subtract(self._x, values, out=self._x)
        peaks = np.maximum(self._x.max(axis=1), -self._x.min(axis=1))
        untold = outside | (peaks > 127)
        self._x[untold] = 0
        np.copyto(self._codes, self._x, casting="unsafe")
        return self._codes, np.where(untold, NO_DELTA, peaks).astype(np.uint8)


def _read_int8(result: Any) -> dict[str, Any]:
    codes, scales = result
    return {"codes": codes, "scales": scales}


def _read_int4(result: Any) -> dict[str, Any]:
    packed, scales = result
    return {"packed": packed, "scales": scales}


def _read_halves(result: Any) -> dict[str, Any]:
    return {"x": result.astype(np.float32)}


def _read_changes(result: Any) -> dict[str, Any]:
    return {"changes": result}


def read_delta(result: Any) -> dict[str, Any]:
    """Outputs of a delta by name."""
    delta, peaks = result
    return {"delta": delta, "peaks": peaks}


def read_x(result: Any) -> dict[str, Any]:
    """The output of dequantising by name."""
    return {"x": result}
