"""The SIMD kernels (C++); docs/features.md has the formulas. Arrays are taken as they are, never copied or cast.

Images are uint8, [H, W] grey or [H, W, 3] BGR, 1 to 65535 a side, rows any positive distance apart, pixels packed.
TypeError where an array has another dtype, ValueError where its shape, strides or another argument does not fit.
`isa` is one of `available_isas()`; None takes `active_isa()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

compiler: str
"""What compiled the kernels."""

def available_isas() -> list[str]:
    """Instruction sets that this machine can run, slowest first."""

def active_isa() -> str:
    """The one in use. ValueError where EDGE_AGENT_ISA names none that is available."""

def cpu_features() -> list[str]:
    """CPU features that matter here and are present."""

def grey(image: NDArray[np.uint8], out: NDArray[np.uint8] | None = None, isa: str | None = None) -> NDArray[np.uint8]:
    """[H, W, 3] -> [H, W]: (29 B + 150 G + 77 R + 128) >> 8. Written to `out` and returned, where that is given."""

def histogram(image: NDArray[np.uint8], isa: str | None = None) -> NDArray[np.uint32]:
    """[H, W] -> [256] counts."""

def entropy(image: NDArray[np.uint8], isa: str | None = None) -> float:
    """[H, W] -> bits, 0..8."""

def tile_entropy(image: NDArray[np.uint8], tile: int = 32, isa: str | None = None) -> tuple[float, NDArray[np.float32]]:
    """[H, W] -> bits of the whole, and of each tile [rows, cols]."""

def edges(
    image: NDArray[np.uint8], threshold: float = 128.0, isa: str | None = None
) -> tuple[int, int, int, float, float]:
    """[H, W] -> edge pixels, sum of the Laplacian, sum of its square, edge density 0..1, Laplacian variance."""

def difference(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    threshold: int = 25,
    tile: int = 32,
    isa: str | None = None,
) -> tuple[int, int, float, float, NDArray[np.float32]]:
    """Two [H, W] -> sum of |d|, pixels with |d| > threshold, mean |d|, changed share 0..1, mean |d| a tile."""

class VisionStream:
    """A stream of frames that remembers the last grey frame."""

    def __init__(
        self, tile: int = 32, edge_threshold: float = 128.0, change_threshold: int = 25, isa: str | None = None
    ) -> None: ...
    def analyze(
        self,
        image: NDArray[np.uint8],
        entropy_map: NDArray[np.float32] | None = None,
        motion_map: NDArray[np.float32] | None = None,
        /,
    ) -> tuple[float, NDArray[np.float32], float, float, bool, float, float, NDArray[np.float32]]:
        """Grey or BGR -> entropy, tile entropies, edge density, Laplacian variance, whether there was a frame of this
        size before, and mean |d|, changed share, tile means of |d| (all 0 where there was none).

        Not so where the stream starts: with the first frame, the first after `reset`, and one of another size. The
        maps, both or neither, are float32 [rows, columns] to write to and return, for a caller that keeps them.
        """

    def analyze_many(
        self, images: NDArray[np.uint8], /
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float32],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float32],
    ]:
        """[N, H, W] grey or [N, H, W, 3] BGR -> what `analyze` gives of one after the other, each [N] or [N, rows,
        columns]. For many small frames, where a call of Python each would take longer than the work.
        """

    def reset(self) -> None:
        """Forget the last frame."""

    @property
    def isa(self) -> str: ...

class SoundStream:
    """A stream of mono sound cut into STFT frames; `window` a power of two from 32 to 8192, `hop` >= 1."""

    def __init__(self, window: int = 512, hop: int = 160, isa: str | None = None) -> None: ...
    def feed(self, samples: NDArray[np.float32] | NDArray[np.int16], /) -> NDArray[np.float32]:
        """[N] -> [5, frames]: flux, spectral entropy, flatness, energy, zero-crossing rate of the frames completed.

        ValueError, before anything is taken in, where a sample is not finite or beyond +-2**20.
        """

    def reset(self) -> None:
        """Forget everything fed so far."""

    @property
    def window(self) -> int: ...
    @property
    def hop(self) -> int: ...
    @property
    def isa(self) -> str: ...

# Tensors: [rows, width] float32, neither of them 0, values packed within a row, rows any positive distance apart.
# `out`, `scales` and `peaks` may be arrays of the caller; they are returned, else new ones. ValueError, before anything
# is written, where a value is NaN or infinite (its place is named), a scale is negative or not finite, an output is
# read-only or shares memory with another array of the call, or a shape does not fit.

def quantise_int8(
    x: NDArray[np.float32],
    out: NDArray[np.int8] | None = None,
    scales: NDArray[np.float32] | None = None,
    isa: str | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """-> int8 [rows, width] in -127..127 and float32 [rows]: scale = largest magnitude of the row / 127, value =
    x / scale rounded to the nearest, ties to even; a row of zeros has scale 0.
    """

def quantise_int4(
    x: NDArray[np.float32],
    out: NDArray[np.uint8] | None = None,
    scales: NDArray[np.float32] | None = None,
    isa: str | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """-> uint8 [rows, (width + 1) // 2] and float32 [rows]: as int8 with / 7 and -7..7, two values a byte in two's
    complement, the first in the low half; the last high half of an odd width is 0.
    """

def dequantise_int8(
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
    isa: str | None = None,
) -> NDArray[np.float32]:
    """-> float32 [rows, width]: value * scale of its row; infinite where that overflows."""

def dequantise_int4(
    values: NDArray[np.uint8],
    scales: NDArray[np.float32],
    width: int,
    out: NDArray[np.float32] | None = None,
    isa: str | None = None,
) -> NDArray[np.float32]:
    """-> float32 [rows, width] of [rows, (width + 1) // 2] bytes."""

def row_changes(
    x: NDArray[np.float32],
    previous: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
    isa: str | None = None,
) -> NDArray[np.float32]:
    """-> float32 [rows]: the largest |x - previous| of each row; infinite where a difference overflows."""

def delta_int8(
    x: NDArray[np.float32],
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    out: NDArray[np.int8] | None = None,
    peaks: NDArray[np.uint8] | None = None,
    isa: str | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """-> int8 [rows, width]: x in the steps of a quantised tensor before it, rint(x / scale) - value, so that value +
    difference is x to half a step and nothing drifts; and uint8 [rows]: the largest |difference|, 0 where a row did not
    change. A row that leaves -127..127 or differs by more than 127 cannot be told so: 255, and differences 0.
    """

def add_delta_int8(
    values: NDArray[np.int8],
    delta: NDArray[np.int8],
    out: NDArray[np.int8] | None = None,
    isa: str | None = None,
) -> NDArray[np.int8]:
    """-> int8 [rows, width]: their sum. ValueError, naming the row, where one is outside -127..127."""

def token_statistics(
    logits: NDArray[np.float32], temperature: float = 1.0, token: int | None = None, isa: str | None = None, /
) -> tuple[int, float, float]:
    """[vocab] -> `token` or the first of the likeliest, its probability 0..1, entropy of all over log(vocab) 0..1.

    Of softmax(logits / temperature), by sums in float32. ValueError where a logit is NaN or none is finite.
    """

class Projection:
    """A learned basis of embeddings, made once: tensors to few integers, and those to few bytes. Copies its arguments.

    `groups` are dicts of `first`, `rows`, `columns`, `kept`, and packed float32 `mean` [rows * columns, hidden], `down`
    [rows, rows], `across` [columns, columns], `analysis` [hidden, kept], `synthesis` [kept, hidden]; `levels` of
    `rounding`, packed `places` uint32, `classes` uint8, `steps` float32 (one a place), and of each table `shifts`
    uint8, `starts` [33] uint32, `centroids` [16]
    float32. ValueError where they do not fit each other; TypeError for another type. See transport/projection.py.
    """

    def __init__(
        self, tokens: int, hidden: int, groups: Sequence[dict[str, Any]], levels: Sequence[dict[str, Any]]
    ) -> None: ...
    def quantise(
        self,
        x: NDArray[np.float32],
        level: int,
        isa: str | None = None,
        held: NDArray[np.int32] | None = None,
        margins: NDArray[np.float32] | None = None,
    ) -> NDArray[np.int32]:
        """Packed [views * tokens, hidden] -> [views, values]. ValueError where one is NaN or above 32767. With `held`
        and `margins` [views, values], what is nearer to the value held than its margin, in steps, keeps that.
        """

    def restore(self, values: NDArray[np.int32], level: int, isa: str | None = None) -> NDArray[np.float32]:
        """-> [views * tokens, hidden]. ValueError for a value outside -32767..32767."""

    def pack(self, values: NDArray[np.int32], level: int) -> bytes:
        """-> the bytes. ValueError for a value outside -32767..32767."""

    def unpack(self, payload: bytes, level: int, views: int = 1) -> NDArray[np.int32]:
        """-> [views, values]. ValueError unless `payload` is what `pack` makes of some values."""

class Filling:
    """The bytes of one tensor while they come, in room of their own of `size` bytes."""

    def __init__(self, size: int) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def filled(self) -> int:
        """How many are there."""

    def add(self, chunk: bytes) -> None:
        """Put these behind those that are there. ValueError where there is no room for them."""

    def finish(self) -> bytes:
        """All of them, once; nothing can be added from then on. ValueError unless `filled` is `size`."""

class Intake:
    """Takes frames that bring the very next piece of one tensor, as `transport.frames` reads them, in one call each.
    `checksum` is zlib's crc32, or one that gives the same. For one thread.
    """

    def __init__(self, checksum: Callable[..., int]) -> None: ...
    def arm(self, session: int, stream: int, seq: int, filling: Filling, most_bytes: int, chunk_bytes: int) -> None:
        """Take frames of this session and stream from number `seq` on into `filling`, `most_bytes` of payload together
        and `chunk_bytes` in one."""

    def disarm(self) -> None:
        """Take nothing."""

    def take(self, data: bytes, /) -> bool:
        """Take one message if it is the next piece and right in everything. False, with nothing done, for any other."""

    def settle(self) -> tuple[int, int]:
        """Frames and bytes of payload taken since the last call of it."""

class SymbolCoder:
    """Integers to few bytes, where the caller names the table of each. `tables`: `shifts`, `starts` and `centroids` as
    in the levels of `Projection`. ValueError where one is no table. See transport/projection.py.
    """

    def __init__(self, tables: dict[str, Any]) -> None: ...
    def pack(self, values: NDArray[np.int32], kinds: NDArray[np.uint16]) -> bytes:
        """Packed, of one shape -> the bytes. ValueError for a value outside -32767..32767, or a kind without table."""

    def unpack(self, payload: bytes, kinds: NDArray[np.uint16]) -> NDArray[np.int32]:
        """-> the values. ValueError unless `payload` is what `pack` makes of some values."""
