"""The form of files that hold what codecs have learned: `basis`, `refilled` and `changes` say what is in theirs.

Little endian: 8 bytes that tell the kind of file, u32 length of the header, the header (a JSON object with `format`),
then arrays one after another, packed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_HEADER_BYTES = 65_536
MOST_TOKENS, MOST_HIDDEN = 4096, 8192
_START = 12
_LARGEST = float(np.finfo(np.float32).max)

Arrays = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name, dtype and shape of arrays, in the order of the file."""


def header_bytes(magic: bytes, header: Mapping[str, Any]) -> bytes:
    """How a file begins: everything before its arrays."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return magic + len(text).to_bytes(4, "little") + text


def read_header(data: bytes, magic: bytes, version: int) -> tuple[dict[str, Any], int]:
    """The header of a file, and where its arrays begin. Raises ValueError unless the file begins with `magic`, and its
    header is whole, of at most MOST_HEADER_BYTES, and of the format `version`.
    """
    end = _START + int.from_bytes(data[8:_START], "little")
    if data[:8] != magic or len(data) < _START:
        raise ValueError(f"it does not begin with {magic.decode('ascii')} and a length")
    if end > min(len(data), _START + MOST_HEADER_BYTES):
        raise ValueError(f"its header is cut off, or larger than {MOST_HEADER_BYTES} bytes")
    try:
        header = json.loads(data[_START:end])
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    if header.get("format") != version:
        raise ValueError(f"it has format {header.get('format')!r:.40}, this version reads format {version}")
    return header, end


def size_of(value: Any, most: int, least: int = 1) -> int:
    """A size out of a header. Raises ValueError unless it is an integer of `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"a size is {value!r:.40}, not {least} to {most}")
    return value


def number_of(value: Any) -> float:
    """A number out of a header. Raises ValueError unless it is one, and float32 can hold it."""
    if type(value) not in (int, float) or not abs(value) <= _LARGEST:
        raise ValueError(f"a number is {value!r:.40}")
    return float(value)


def packed_arrays(data: bytes, at: int, shapes: Sequence[Shapes]) -> Iterator[Arrays]:
    """The arrays from `at` to the end, one dict of them after the other: views of `data`. Raises ValueError where they
    are not all that is there.
    """
    total = at + sum(
        np.dtype(dtype).itemsize * int(np.prod(shape)) for part in shapes for dtype, shape in part.values()
    )
    if total != len(data):
        raise ValueError(f"it has {len(data)} bytes instead of {total}")
    for part in shapes:
        found: Arrays = {}
        for name, (dtype, shape) in part.items():
            count = int(np.prod(shape))
            found[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
            at += count * np.dtype(dtype).itemsize
        yield found


def file_id(data: bytes) -> str:
    """16 hex digits that name every byte of a file."""
    return hashlib.sha256(data).hexdigest()[:16]
