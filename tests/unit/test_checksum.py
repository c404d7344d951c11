"""The checksum of a frame: zlib's number, whatever computes it."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib

import pytest

from edge_agent.transport.checksum import crc32


@pytest.mark.parametrize("size", [0, 1, 15, 16, 63, 64, 127, 1024, 8192, 70_001])
def test_the_checksum_is_that_of_zlib_also_piece_by_piece(size: int) -> None:
    data = random.Random(size).randbytes(size)
    half = size // 3
    assert crc32(data) == zlib.crc32(data)
    assert crc32(memoryview(data)[half:], crc32(data[:half])) == zlib.crc32(data)


def test_without_isal_frames_are_the_same() -> None:
    code = """
import sys
if sys.argv[1] == "without":
    sys.modules["isal"] = sys.modules["isal.isal_zlib"] = None
from edge_agent.transport.frames import Frame, decode_frame, encode_frame
data = encode_frame(Frame(0x12, {"a": 1}, b"payload" * 999, 7, 1, 2))
assert decode_frame(data).payload == b"payload" * 999
print(data.hex())
"""
    said = {
        subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=True).stdout
        for kind in ("with", "without")
    }
    assert len(said) == 1
