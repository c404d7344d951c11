"""Photos: whole files of known kinds are read upright; what is cut, foreign or too large is refused before decoding."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import InputError
from edge_agent.picture_header import picture_size
from edge_agent.sources.photo import load_photo

PICTURE = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
KINDS = (".jpg", ".png", ".webp", ".bmp")


def encoded(kind: str, picture: np.ndarray = PICTURE) -> bytes:
    done, data = cv2.imencode(kind, picture)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_whole_pictures_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{kind}"
    path.write_bytes(encoded(kind))
    assert picture_size(path.read_bytes(), "photo") == (70, 50)
    frame = load_photo(path)
    assert frame.pixels.shape == (50, 70, 3)
    if kind in (".png", ".bmp"):
        assert np.array_equal(frame.pixels, PICTURE)


def test_lossless_webp_and_grey_and_transparent_pictures_become_bgr(tmp_path: Path) -> None:
    lossless = cv2.imencode(".webp", PICTURE, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    transparent = encoded(".png", np.dstack([PICTURE, PICTURE[:, :, 0]]))
    for data in (lossless, transparent, encoded(".png", PICTURE[:, :, 0])):
        path = tmp_path / "photo"
        path.write_bytes(data)
        assert load_photo(path).pixels.shape == (50, 70, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_a_cut_picture_is_refused(kind: str, share: float, tmp_path: Path) -> None:
    data = encoded(kind)
    path = tmp_path / f"photo{kind}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        load_photo(path)


def test_trailing_bytes_do_not_hurt(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(".jpg") + b"\0trailer" * 10)
    assert load_photo(path).pixels.shape == (50, 70, 3)


def test_exif_orientation_is_respected(tmp_path: Path) -> None:
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x0112, 3, 1, 6) + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    jpeg = encoded(".jpg")
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:])
    assert load_photo(path).pixels.shape == (70, 50, 3)


def test_a_large_photo_is_decoded_smaller(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(".jpg", np.zeros((3000, 6000, 3), np.uint8)))
    assert load_photo(path).pixels.shape == (1500, 3000, 3)


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(InputError, match="not a regular file"):
            load_photo(path)


def test_a_flipped_byte_in_a_png_is_seen_before_it_is_decoded(tmp_path: Path) -> None:
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 1
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match="a checksum is wrong"):
        load_photo(path)


def test_a_long_strip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    path.write_bytes(encoded(".png", np.zeros((1, 20000, 3), np.uint8)))
    assert load_photo(path).pixels.shape == (1, 20000, 3)


@given(st.sampled_from(KINDS), st.data())
def test_damaged_headers_never_crash(kind: str, data: st.DataObject) -> None:
    picture = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        picture[data.draw(st.integers(0, min(64, len(picture) - 1)))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        width, height = picture_size(bytes(picture), "photo")
        assert width >= 0
        assert height >= 0
