"""What `edge_agent._core.Projection` does, in NumPy: the oracle of its tests, and the codec where it is not built.

Same names, arguments, results (bit for bit) and refusals. Coefficients of a group = down (across (x - mean)) analysis,
`across` along the rows of its grid and then `down` along the columns; a value is the integer part of |coefficient| /
step + rounding, with the coefficient's sign. Back: x = mean + acrossT (downT (coefficients synthesis)), of values times
their step. Sums of products are made in float32 from the first term on. Values become bytes by rANS (J. Duda 2013,
arXiv:1311.2540) with stored tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.transport.basis import MAGNITUDES
from edge_agent.types import F32

I32 = NDArray[np.int32]

MOST_VALUE = 32767
_BITS, _LOW, _STATE_BYTES, _ESCAPE = 13, 1 << 16, 3, 31


class Projection:
    """As in `edge_agent/_core.pyi`."""

    def __init__(
        self, tokens: int, hidden: int, groups: Sequence[dict[str, Any]], levels: Sequence[dict[str, Any]]
    ) -> None:
        self._shape = (tokens, hidden)
        self._groups = groups
        self._levels = levels

    def quantise(
        self, x: F32, level: int, isa: str | None = None, held: I32 | None = None, margins: F32 | None = None
    ) -> I32:
        """[views * tokens, hidden] float32 -> int32 [views, values of the level]. `isa` is not looked at."""
        tokens, hidden = self._shape
        if x.ndim != 2 or len(x) == 0 or len(x) % tokens or x.shape[1] != hidden:
            raise ValueError(f"x must be [views * {tokens}, {hidden}]")
        plan = self._levels[level]
        found = []
        for view in x.reshape(-1, tokens, hidden):
            all_of = [_coefficients(group, view[_rows(group)]).ravel() for group in self._groups]
            found.append(np.concatenate(all_of)[plan["places"]])
        coefficients = np.stack(found)
        magnitudes = np.abs(coefficients) / plan["steps"] + np.float32(plan["rounding"])
        if not (magnitudes <= MOST_VALUE).all():
            raise ValueError("a coefficient is NaN, or larger than the basis is made for")
        values = magnitudes.astype(np.int32)
        signed: I32 = np.where(coefficients < 0, -values, values).astype(np.int32)
        if held is None or margins is None:
            return signed
        _check(held, plan)
        near = np.abs(coefficients / plan["steps"] - held.astype(np.float32)) < margins
        return np.where(near, held, signed)

    def restore(self, values: I32, level: int) -> F32:
        """int32 [views, values of the level] -> [views * tokens, hidden] float32."""
        plan = self._levels[level]
        _check(values, plan)
        magnitudes = np.abs(values)
        named = (plan["shifts"][plan["classes"]] == 0) & (magnitudes < MAGNITUDES)
        centroids = plan["centroids"][plan["classes"], np.minimum(magnitudes, MAGNITUDES - 1)]
        amounts = np.where(named, centroids, magnitudes.astype(np.float32)) * np.sign(values).astype(np.float32)
        out = np.empty((len(values), *self._shape), np.float32)
        for view, found in zip(out, amounts * plan["steps"], strict=True):
            flat = np.zeros(sum(len(group["mean"]) * group["kept"] for group in self._groups), np.float32)
            flat[plan["places"]] = found
            at = 0
            for group in self._groups:
                size = len(group["mean"]) * group["kept"]
                view[_rows(group)] = _restored(group, flat[at : at + size].reshape(-1, group["kept"]))
                at += size
        return out.reshape(-1, self._shape[1])

    def pack(self, values: I32, level: int) -> bytes:
        """int32 [views, values of the level] -> bytes."""
        plan = self._levels[level]
        _check(values, plan)
        return SymbolCoder(plan).pack(values, _kinds(plan, len(values)))

    def unpack(self, payload: bytes, level: int, views: int = 1) -> I32:
        """Bytes -> int32 [views, values of the level]. Raises ValueError unless they are what `pack` makes of some."""
        plan = self._levels[level]
        return SymbolCoder(plan).unpack(payload, _kinds(plan, views))


class SymbolCoder:
    """As in `edge_agent/_core.pyi`."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._shifts, self._starts = tables["shifts"].tolist(), tables["starts"]

    def pack(self, values: I32, kinds: NDArray[np.uint16]) -> bytes:
        """int32 of any shape, and the number of the table of each -> bytes."""
        if (np.abs(values.astype(np.int64)) > MOST_VALUE).any():
            raise ValueError("a value is outside -32767..32767")
        state, out = _LOW, bytearray()
        for value, kind in zip(values.ravel().tolist()[::-1], kinds.ravel().tolist()[::-1], strict=True):
            for start, frequency, bits in _pieces(value, self._shifts[kind], self._starts[kind])[::-1]:
                while state >= ((_LOW >> bits) << 8) * frequency:
                    out.append(state & 255)
                    state >>= 8
                state = (state // frequency << bits) + state % frequency + start
        return bytes(reversed(out + state.to_bytes(_STATE_BYTES, "little")))

    def unpack(self, payload: bytes, kinds: NDArray[np.uint16]) -> I32:
        """Bytes -> int32 in the shape of `kinds`. Raises ValueError unless they are what `pack` makes of some."""
        reader = _Reader(payload)
        found = [reader.value(self._starts[kind], self._shifts[kind]) for kind in kinds.ravel().tolist()]
        reader.end()
        return np.array(found, np.int32).reshape(kinds.shape)


def _kinds(plan: Mapping[str, Any], views: int) -> NDArray[np.uint16]:
    return np.tile(plan["classes"].astype(np.uint16), (views, 1))


def _rows(group: dict[str, Any]) -> slice:
    return slice(group["first"], group["first"] + len(group["mean"]))


def _coefficients(group: dict[str, Any], x: F32) -> F32:
    """[tokens of the group, hidden] -> [rows * columns, kept]."""
    apart = (x - group["mean"]).reshape(group["rows"], group["columns"], -1)
    along = np.stack([_product(group["across"], row) for row in apart])
    mixed = _product(group["down"], along.reshape(group["rows"], -1))
    return _product(mixed.reshape(len(x), -1), group["analysis"])


def _restored(group: dict[str, Any], coefficients: F32) -> F32:
    """And back."""
    mixed = _product(coefficients, group["synthesis"])
    along = _product(group["down"].T, mixed.reshape(group["rows"], -1)).reshape(group["rows"], group["columns"], -1)
    means = group["mean"].reshape(along.shape)
    rows = [_product(group["across"].T, row, mean) for row, mean in zip(along, means, strict=True)]
    return np.concatenate(rows)


def _product(a: F32, b: F32, out: F32 | None = None) -> F32:
    """`a` @ `b`, on top of `out`; terms are added one after the other."""
    out = np.zeros((len(a), b.shape[1]), np.float32) if out is None else out
    for d in range(len(b)):
        out = out + a[:, d : d + 1] * b[d]
    return out


def _check(values: I32, plan: dict[str, Any]) -> None:
    if values.ndim != 2 or len(values) == 0 or values.shape[1:] != plan["places"].shape:
        raise ValueError(f"values must be [views, {len(plan['places'])}]")
    if (np.abs(values.astype(np.int64)) > MOST_VALUE).any():
        raise ValueError("a value is outside -32767..32767")


def _pieces(value: int, shift: int, starts: NDArray[np.uint32]) -> list[tuple[int, int, int]]:
    """(start, frequency, bits) of everything that is written of a value, in the order in which it is read."""
    high = value >> shift
    magnitude = abs(high)
    symbol = _ESCAPE if magnitude >= MAGNITUDES else 2 * magnitude - (high > 0)
    pieces = [(int(starts[symbol]), int(starts[symbol + 1] - starts[symbol]), _BITS)]
    if symbol == _ESCAPE:
        pieces += [((high + 32768) >> 8, 1, 8), ((high + 32768) & 255, 1, 8)]
    if shift:
        pieces.append((value & ((1 << shift) - 1), 1, shift))
    return pieces


class _Reader:
    """Reads a payload from its first byte on; what is missing ends it."""

    def __init__(self, payload: bytes) -> None:
        self._bytes = iter(payload)
        self._state = 0
        for _ in range(_STATE_BYTES):
            self._state = self._state << 8 | self._byte()
        if self._state < _LOW:
            raise _wrong()

    def value(self, starts: NDArray[np.uint32], shift: int) -> int:
        slot = self._state & ((1 << _BITS) - 1)
        symbol = int(np.searchsorted(starts, slot, side="right")) - 1
        self._take(int(starts[symbol]), int(starts[symbol + 1] - starts[symbol]), _BITS)
        magnitude = (symbol + 1) // 2
        high = magnitude if symbol % 2 else -magnitude
        if symbol == _ESCAPE:
            upper = self._raw(8)
            high = (upper << 8 | self._raw(8)) - 32768
            if abs(high) < MAGNITUDES:
                raise _wrong()
        value = (high << shift) + (self._raw(shift) if shift else 0)
        if abs(value) > MOST_VALUE:
            raise _wrong()
        return value

    def end(self) -> None:
        if self._state != _LOW or next(self._bytes, None) is not None:
            raise _wrong()

    def _raw(self, bits: int) -> int:
        value = self._state & ((1 << bits) - 1)
        self._take(value, 1, bits)
        return value

    def _take(self, start: int, frequency: int, bits: int) -> None:
        self._state = frequency * (self._state >> bits) + (self._state & ((1 << bits) - 1)) - start
        while self._state < _LOW:
            self._state = self._state << 8 | self._byte()

    def _byte(self) -> int:
        byte = next(self._bytes, None)
        if byte is None:
            raise _wrong()
        return byte


def _wrong() -> ValueError:
    return ValueError("the bytes are not what this basis writes at this level")
