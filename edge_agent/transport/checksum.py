"""The checksum of a frame: CRC-32 as zlib's, by the fastest that is installed. Both give the same number."""

from __future__ import annotations

from collections.abc import Callable

try:
    from isal.isal_zlib import crc32 as _crc32  # carry-less multiplication: some five times as fast as zlib's tables
except ImportError:  # no wheel of it for this machine
    from zlib import crc32 as _crc32

crc32: Callable[..., int] = _crc32
