"""The size that a picture file declares, and whether the file is whole, read from its bytes without decoding it."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

from edge_agent.errors import InputError

_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # not stuffed, not fill, not a restart: one that says something
_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_EOI = 0xD9


class DamagedError(ValueError):
    """The bytes end too early or contradict themselves; the text says how."""


def picture_size(data: bytes, name: object) -> tuple[int, int]:
    """(width, height) of a whole JPEG, PNG, WebP or BMP. Raises InputError for anything else or a cut file."""
    for magic, at, read in _FORMATS:
        if data[at : at + len(magic)] == magic:
            try:
                return read(data)
            except (DamagedError, struct.error, IndexError) as error:
                raise InputError(f"{name} is cut short or damaged: {error}", "copy or take the photo again") from error
    raise InputError(f"{name} is not a JPEG, PNG, WebP or BMP picture", "convert it, or name another file")


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments and scans up to the end-of-image marker: OpenCV fills what is missing with grey, silently."""
    at, size = 2, None
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            raise DamagedError("the end-of-image marker is missing")
        at, marker = found.start(), data[found.start() + 1]
        if marker == _EOI:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or at + 2 + length > len(data):
            raise DamagedError("a segment runs over the end")
        if marker in _SIZES and size is None:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        at += 2 + length
    if size is None:
        raise DamagedError("no size is declared")
    return size


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    while data[at + 4 : at + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        after = at + 12 + length
        if after + 8 > len(data):
            raise DamagedError(f"the end of a picture of {width}x{height} pixels is missing")
        (stored,) = struct.unpack_from(">I", data, after - 4)
        if zlib.crc32(memoryview(data)[at + 4 : after - 4]) != stored:
            raise DamagedError("a checksum is wrong")
        at = after
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise DamagedError(f"{length + 8} bytes are declared, {len(data)} are there")
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise DamagedError("its first chunk is unknown")


def _bmp(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", data, 18)
    (bits,) = struct.unpack_from("<H", data, 28)
    (start,) = struct.unpack_from("<I", data, 10)
    (compression,) = struct.unpack_from("<I", data, 30)
    row_bytes = (abs(width) * bits + 31) // 32 * 4
    if compression == 0 and abs(width) * abs(height) <= 1 << 32 and start + row_bytes * abs(height) > len(data):
        raise DamagedError("rows are missing")
    return abs(width), abs(height)


_FORMATS: tuple[tuple[bytes, int, Callable[[bytes], tuple[int, int]]], ...] = (
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"WEBP", 8, _webp),
    (b"BM", 0, _bmp),
)
