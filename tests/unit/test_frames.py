"""The frame format: what is written is read back, and everything else is refused with a reason."""

from __future__ import annotations

import struct
import zlib

import pytest

from edge_agent.transport.frames import (
    HEADER_BYTES,
    MAX_META_BYTES,
    MAX_PAYLOAD_BYTES,
    Flag,
    Frame,
    FrameError,
    FrameType,
    canonical_json,
    decode_frame,
    encode_frame,
    parse_json,
)

FULL = Frame(FrameType.TOKENS, {"b": [1, 2.5, None, True], "a": "é"}, b"\x00\xff", 2**64 - 1, 2**32 - 1, 7, 0x81, 3)


def test_a_frame_survives_the_way_there_and_back():
    assert decode_frame(encode_frame(FULL)) == FULL
    assert decode_frame(encode_frame(Frame(FrameType.BYE))) == Frame(FrameType.BYE)


def test_the_header_has_36_bytes_in_the_documented_order():
    data = encode_frame(FULL)
    assert HEADER_BYTES == 36
    fields = struct.unpack_from("<4sBBHQIIIII", data)
    meta = b'{"a":"\xc3\xa9","b":[1,2.5,null,true]}'
    crc = zlib.crc32(data[:32] + meta + b"\x00\xff")
    assert fields == (b"EAP1", 0x20, 0x81, 3, 2**64 - 1, 2**32 - 1, 7, len(meta), 2, crc)
    assert data[36:] == meta + b"\x00\xff"


def test_type_codes_never_change():
    assert {kind.name: int(kind) for kind in FrameType} == {
        **{"HELLO": 1, "WELCOME": 2, "RESUME": 3, "RESUMED": 4},
        **{
            "TURN": 16,
            "TENSOR_BEGIN": 17,
            "TENSOR_CHUNK": 18,
            "TENSOR_END": 19,
            "HAVE": 20,
            "DRAFT": 24,
            "VERDICT": 25,
        },
        **{"TOKENS": 32, "USAGE": 33, "DONE": 34, "CREDIT": 48, "CANCEL": 64, "ERROR": 65, "GOAWAY": 66, "BYE": 67},
    }
    assert [int(flag) for flag in Flag] == [1, 2, 4, 8, 128]


def test_every_flipped_bit_is_found():
    data = encode_frame(Frame(FrameType.DONE, {"tokens": 1}, b"ab", 5, 1, 2))
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(FrameError):
            decode_frame(bytes(changed))


def test_every_cut_is_found():
    data = encode_frame(FULL)
    for length in range(len(data)):
        with pytest.raises(FrameError):
            decode_frame(data[:length])


@pytest.mark.parametrize(
    "frame", [Frame(1, {"a": "x" * MAX_META_BYTES}), Frame(1, payload=bytes(MAX_PAYLOAD_BYTES + 1))]
)
def test_oversized_frames_are_not_written(frame):
    with pytest.raises(FrameError) as caught:
        encode_frame(frame)
    assert (caught.value.code, caught.value.close_code) == ("too_large", 1009)


@pytest.mark.parametrize(
    ("meta", "payload"), [(MAX_META_BYTES + 1, 0), (0, MAX_PAYLOAD_BYTES + 1), (2**32 - 1, 2**32 - 1)]
)
def test_oversized_declarations_are_refused_before_the_content_is_looked_at(meta, payload):
    head = struct.pack("<4sBBHQIIIII", b"EAP1", 1, 0, 1, 0, 0, 0, meta, payload, 0)
    with pytest.raises(FrameError) as caught:
        decode_frame(head)
    assert caught.value.code == "too_large"


def test_the_largest_frame_is_accepted():
    frame = Frame(1, {"a": "x" * (MAX_META_BYTES - 8)}, bytes(MAX_PAYLOAD_BYTES))
    assert decode_frame(encode_frame(frame)) == frame


def test_canonical_json_is_sorted_compact_utf8():
    assert canonical_json({"b": 1, "a": {"d": "ü", "c": []}}) == '{"a":{"c":[],"d":"ü"},"b":1}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}, {"a": b"x"}])
def test_what_json_cannot_hold_is_not_written(value):
    with pytest.raises(FrameError):
        canonical_json(value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"{'a':1}",
        b'{"a":1,"a":1}',
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 5000,
        b'"\\ud800"',
        b'"\x00"',
        b"[" * 9 + b"]" * 9,
        b'{"a":' * 9 + b"1" + b"}" * 9,
        b"[" * 8000,
    ],
)
def test_unacceptable_json_is_refused(raw):
    with pytest.raises(FrameError):
        parse_json(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"9007199254740991", 2**53 - 1),
        (b"[" * 8 + b"]" * 8, [[[[[[[[]]]]]]]]),
        (b'"[[[[[[[[[[\\"[[[["', '[[[[[[[[[["[[[['),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'{"a":{"a":{}}}', {"a": {"a": {}}}),
    ],
)
def test_acceptable_json_at_the_border_is_read(raw, value):
    assert parse_json(raw) == value


def test_checking_the_depth_takes_linear_time():
    # Each quote could start a scan to the end; 16 KiB of them must not be 2^28 steps.
    with pytest.raises(FrameError):
        parse_json(b'"' + b'\\"' * 100_000)
