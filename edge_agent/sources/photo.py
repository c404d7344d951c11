"""Photos: checked by their header before they are decoded, turned upright, kept to a bounded size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_agent.errors import InputError
from edge_agent.picture_header import picture_size
from edge_agent.sources.base import check_size, regular_file
from edge_agent.types import U8, Frame

MAX_PHOTO_BYTES = 256 << 20
LONG_SIDE = 4096  # larger photos are decoded at a half, a quarter or an eighth


def load_photo(path: Path, timestamp_s: float = 0.0) -> Frame:
    """A JPEG, PNG, WebP or BMP file as a BGR frame, upright by EXIF, its long side about 4096 at most.

    Raises InputError for a missing, empty, cut, foreign or too large file.
    """
    regular_file(path, "photo", MAX_PHOTO_BYTES)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "name a readable photo") from error
    return Frame(decode_photo(data, path), timestamp_s)


def decode_photo(data: bytes, name: object) -> U8:
    """The pixels [H, W, 3] uint8 BGR of an encoded picture; `name` is for the error. Raises InputError."""
    import cv2

    width, height = picture_size(data, name)
    check_size(name, width, height)
    flags = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    shrink = next((by for by in (1, 2, 4) if max(width, height) <= LONG_SIDE * by), 8)
    shrink = shrink if min(width, height) >= shrink else 1  # a strip has nothing to halve
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags[shrink])
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {error.err or error}", "convert it to JPEG or PNG") from error
    if pixels is None or pixels.size == 0:
        raise InputError(f"{name} cannot be decoded", "convert it to JPEG or PNG")
    return np.asarray(pixels, dtype=np.uint8)
