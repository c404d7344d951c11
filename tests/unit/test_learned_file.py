"""Files of what codecs have learned: their common beginning, and that damaged ones are refused in a line."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bases
import learned
from edge_agent.errors import ModelError
from edge_agent.transport.codecs import Codec
from edge_agent.transport.learned_file import (
    MOST_HEADER_BYTES,
    header_bytes,
    number_of,
    packed_arrays,
    read_header,
    size_of,
)
from edge_agent.transport.refilled import parse_medians
from edge_agent.transport.shipped import MOST_BYTES, read_shipped

MAGIC = b"EAPTESTS"


def test_what_is_written_is_read_and_tells_where_the_arrays_begin() -> None:
    header = {"of": ["any", 1.5], "format": 3}
    begin = header_bytes(MAGIC, header)
    assert begin == MAGIC + b"\x1d\0\0\0" + b'{"format":3,"of":["any",1.5]}'
    assert read_header(begin + b"arrays", MAGIC, 3) == (header, len(begin))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "begin with EAPTESTS"),
        (MAGIC + b"\0\0\0", "begin with EAPTESTS"),
        (header_bytes(b"EAPOTHER", {"format": 3}), "begin with EAPTESTS"),
        (header_bytes(MAGIC, {"format": 3})[:-1], "cut off"),
        (header_bytes(MAGIC, {"format": 3, "more": "." * MOST_HEADER_BYTES}), "larger than 65536"),
        (header_bytes(MAGIC, {"format": 2}), "has format 2, this version reads format 3"),
        (header_bytes(MAGIC, {"format": "3\n" * 999}), "has format '3"),
        (header_bytes(MAGIC, {}), "has format None"),
        (MAGIC + b"\x03\0\0\0[3]", "no object"),
        (MAGIC + b"\0\0\1\0" + b"[" * 65536, "too deeply"),
        (MAGIC + b"\x02\0\0\0{\xff", "decode"),
        (MAGIC + bytes(4), "Expecting value"),
    ],
)
def test_a_header_that_is_not_one_is_refused_in_a_short_line(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_header(data, MAGIC, 3)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("value", [0, 8, True, 1.0, "1", None, [1], 10**400])
def test_only_integers_within_their_bounds_are_sizes(value: object) -> None:
    assert [size_of(1, 7), size_of(7, 7), size_of(0, 7, 0)] == [1, 7, 0]
    with pytest.raises(ValueError, match="not 1 to 7"):
        size_of(value, 7)


@pytest.mark.parametrize("value", [True, "1", None, [1.0], 1e39, -1e39, 10**400, float("nan"), float("inf")])
def test_only_numbers_that_float32_holds_are_numbers(value: object) -> None:
    assert [number_of(one) for one in (0, -1.5, 3e38)] == [0.0, -1.5, 3e38]
    with pytest.raises(ValueError, match="a number is"):
        number_of(value)


def test_arrays_are_views_of_the_file_and_are_all_that_it_holds() -> None:
    data = b"begin" + np.arange(6, dtype="<u2").tobytes() + b"\7"
    shapes = [{"of": ("<u2", (2, 3))}, {"of": ("|u1", (1,))}]
    first, second = (part["of"] for part in packed_arrays(data, 5, shapes))
    assert (first.tolist(), second.tolist()) == ([[0, 1, 2], [3, 4, 5]], [7])
    assert not first.flags.owndata
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(ValueError, match=f"it has {len(wrong)} bytes instead of 18"):
            list(packed_arrays(wrong, 5, shapes))


def changed(good: bytes, to: Any, *where: str | int) -> bytes:
    """The file with another value at that place of its header."""
    header, at = read_header(good, good[:8], 1)
    inside: Any = header
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = to
    return header_bytes(good[:8], header) + good[at:]


BASIS, MEDIANS, CHANGES = bases.basis_bytes(), learned.medians(), learned.changes()
DAMAGED = [
    (b"", "begin with"),
    (b"EAPBASIX" + BASIS[8:], "begin with EAPBASIS"),
    (changed(BASIS, 2**31, "tokens"), "not 1 to 4096"),
    (changed(BASIS, 2**40, "levels", 1, "places"), "not 1 to 48"),
    (changed(BASIS, -1, "groups", 0, "first"), "not 0 to 5"),
    (changed(BASIS, 1e300, "levels", 0, "step"), "a number is"),
    (changed(BASIS, {}, "groups", 0), "lacks 'rows'"),
    (changed(BASIS, None, "groups"), "not iterable"),
    (changed(MEDIANS, 0, "tokens"), "not 1 to 4096"),
    (changed(MEDIANS, 8193, "hidden"), "not 1 to 8192"),
    (changed(MEDIANS, 9, "hidden"), "bytes instead of"),
    (MEDIANS[:-2] + b"\x00\x7e", "not finite"),
    (changed(CHANGES, "0" * 16, "basis"), "a basis that is not here"),
    (changed(CHANGES, [], "levels"), "not those of the basis"),
    (changed(CHANGES, [0.9, 0.3, 0.6], "levels", 0, "edges"), "do not ascend"),
    (changed(CHANGES, [10**400] * 3, "levels", 0, "edges"), "a number is"),
    (changed(CHANGES, 0, "levels", 0, "kinds"), "not those of the basis"),
    (changed(CHANGES, 3, "levels", 0, "kinds"), "bytes instead of"),
    (CHANGES[:-2] + b"\xff\xff", "do not sum to 8192"),
]
for _good in (BASIS, MEDIANS, CHANGES):
    DAMAGED += [
        (_good[:8], "begin with"),
        (_good[:40], "cut off"),
        (_good[:-1], "bytes instead of"),
        (_good + b"\0", "bytes instead of"),
        (changed(_good, 2, "format"), "has format 2"),
    ]


def read(data: bytes, folder: Path) -> Codec:
    path = folder / "learned.bin"
    path.write_bytes(data)
    return read_shipped(path)


@pytest.mark.parametrize("good", [BASIS, MEDIANS, CHANGES], ids=lambda good: good[:8].decode())
def test_a_whole_file_is_a_codec_named_by_its_bytes(good: bytes, tmp_path: Path) -> None:
    learned.changes_codec()
    assert read(good, tmp_path).codec_id.endswith(hashlib.sha256(good).hexdigest()[:16])


@pytest.mark.parametrize(("data", "why"), DAMAGED, ids=[f"{data[:8].decode()}-{why}" for data, why in DAMAGED])
def test_a_damaged_file_is_refused_in_a_line_that_names_it(data: bytes, why: str, tmp_path: Path) -> None:
    learned.changes_codec()
    with pytest.raises(ModelError, match=rf"learned\.bin is not what a codec has learned \(.*{why}") as caught:
        read(data, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_length_that_lies_takes_no_memory() -> None:
    lies = MEDIANS[:8] + b"\xff\xff\xff\xff" + MEDIANS[12:]
    wide = changed(MEDIANS, 4096, "tokens")
    tracemalloc.start()
    try:
        for data in (lies, changed(wide, 8192, "hidden")):
            with pytest.raises(ValueError, match=r"cut off|bytes instead of"):
                parse_medians(data)
        assert tracemalloc.get_traced_memory()[1] < 2**17
    finally:
        tracemalloc.stop()


def test_a_file_larger_than_any_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "learned.bin"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"learned\.bin is larger than 16 MiB"):
            read_shipped(path)
        assert tracemalloc.get_traced_memory()[1] < 2**17
    finally:
        tracemalloc.stop()
