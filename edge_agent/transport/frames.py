"""EAP/1 frames: one binary WebSocket message each, with header, JSON meta, payload and checksum. No I/O."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

from edge_agent.errors import CloudError
from edge_agent.transport.checksum import crc32

MAGIC = b"EAP1"
SCHEMA = 1
"""Minor version of this release: raised when meta keys are added, never when one changes its meaning."""
SUBPROTOCOL = "eap.v1"
ENDPOINT = "/eap/v1/ws"
POST_ENDPOINT = "/eap/v1/turn"

# magic, type u8, flags u8, schema u16, session u64, stream u32, seq u32, meta_len u32, payload_len u32; then crc32 u32.
_HEADER = struct.Struct("<4sBBHQIIII")
_CRC = struct.Struct("<I")
_STREAM, _STREAM_AT = struct.Struct("<I"), 16
HEADER_BYTES = _HEADER.size + _CRC.size  # 36

MAX_META_BYTES = 8 * 1024
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_FRAME_BYTES = HEADER_BYTES + MAX_META_BYTES + MAX_PAYLOAD_BYTES
MAX_JSON_DEPTH = 8
MAX_JSON_INTEGER = 2**53 - 1

_JSON_PARTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)


class FrameType(IntEnum):
    """The type codes of EAP/1."""

    HELLO = 0x01
    WELCOME = 0x02
    RESUME = 0x03
    RESUMED = 0x04
    TURN = 0x10
    TENSOR_BEGIN = 0x11
    TENSOR_CHUNK = 0x12
    TENSOR_END = 0x13
    HAVE = 0x14
    DRAFT = 0x18
    VERDICT = 0x19
    TOKENS = 0x20
    USAGE = 0x21
    DONE = 0x22
    CREDIT = 0x30
    CANCEL = 0x40
    ERROR = 0x41
    GOAWAY = 0x42
    BYE = 0x43


class Flag(IntFlag):
    """Bits of the header's flags. An unknown type with OPTIONAL set is skipped; without it, it is an error."""

    END = 0x01
    ACK_REQ = 0x02
    DUP = 0x04
    URGENT = 0x08
    OPTIONAL = 0x80


class FrameError(CloudError):
    """The other side broke the protocol. `code` is the EAP error code, `close_code` the WebSocket one that follows."""

    def __init__(self, message: str, *, code: str = "protocol", close_code: int = 1002) -> None:
        super().__init__(
            message, "the other side does not speak EAP/1 as docs/protocol.md says", code=code, retryable=False
        )
        self.close_code = close_code


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `session` 0 before WELCOME; `stream` 0 is the session itself, others are turns; `seq` counts up from 0
    per stream and direction. `type` is a plain int, since later releases send types that this one does not know.
    """

    type: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""
    session: int = 0
    stream: int = 0
    seq: int = 0
    flags: int = 0
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        """The type's name, or its number when this release does not know it."""
        return FrameType(self.type).name if is_known(self.type) else f"type 0x{self.type:02x}"


def is_known(code: int) -> bool:
    """Whether this release knows the type `code`."""
    return code in FrameType._value2member_map_


def canonical_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON with sorted keys and no spaces. Raises FrameError for what JSON cannot hold (NaN, a lone
    surrogate, an unknown type).
    """
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError(f"a value cannot be written as JSON ({error})") from error


def parse_json(raw: bytes, what: str = "meta") -> Any:
    """Parse JSON from the wire. Depth and number sizes are checked before the parser sees them.

    Raises FrameError: not UTF-8, not JSON, deeper than MAX_JSON_DEPTH, a repeated key, NaN or infinity, an integer
    beyond +-(2^53-1), a lone surrogate.
    """
    _check_depth(raw, what)
    try:
        text = raw.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            canonical_json(value)  # an escaped lone surrogate passes json.loads and cannot be written again
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{what} is not acceptable JSON ({error})") from error
    return value


def encode_frame(frame: Frame) -> bytes:
    """The frame as bytes. Raises FrameError (code `too_large`) when meta or payload exceed the format's limits."""
    meta = canonical_json(frame.meta) if frame.meta else b""
    _check_sizes(len(meta), len(frame.payload))
    head = _HEADER.pack(
        MAGIC,
        frame.type,
        frame.flags,
        frame.schema,
        frame.session,
        frame.stream,
        frame.seq,
        len(meta),
        len(frame.payload),
    )
    crc = crc32(frame.payload, crc32(meta, crc32(head)))
    return b"".join((head, _CRC.pack(crc), meta, frame.payload))


def frame_bytes(head: bytes) -> int:
    """How long the frame is that begins with `head` (HEADER_BYTES of it), where frames follow each other without a
    boundary. Raises FrameError.
    """
    magic, _, _, _, _, _, _, meta_len, payload_len = _HEADER.unpack_from(head)
    if magic != MAGIC:
        raise FrameError(f"a frame begins with {magic!r}, not {MAGIC!r}")
    _check_sizes(meta_len, payload_len)
    return HEADER_BYTES + int(meta_len) + int(payload_len)


def decode_frame(data: bytes) -> Frame:
    """The frame that `data`, one whole WebSocket message, holds. Raises FrameError; checks sizes before content."""
    if len(data) < HEADER_BYTES:
        raise FrameError(f"a frame of {len(data)} bytes is shorter than its header of {HEADER_BYTES}")
    magic, kind, flags, schema, session, stream, seq, meta_len, payload_len = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FrameError(f"a frame begins with {magic!r}, not {MAGIC!r}")
    _check_sizes(meta_len, payload_len)
    if len(data) != HEADER_BYTES + meta_len + payload_len:
        raise FrameError(f"a frame of {len(data)} bytes says that it has {HEADER_BYTES + meta_len + payload_len}")
    body = memoryview(data)[HEADER_BYTES:]
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if crc != crc32(body, crc32(data[: _HEADER.size])):
        raise FrameError("a frame has a wrong checksum")
    meta = parse_json(bytes(body[:meta_len])) if meta_len else {}
    if not isinstance(meta, dict):
        raise FrameError("a frame's meta is not a JSON object")
    return Frame(kind, meta, bytes(body[meta_len:]), session, stream, seq, flags, schema)


def stream_of(data: bytes) -> int:
    """The stream of a message, as its head says; 0, the session itself, where it is too short for one."""
    return int(_STREAM.unpack_from(data, _STREAM_AT)[0]) if len(data) >= HEADER_BYTES else 0


def _check_sizes(meta_len: int, payload_len: int) -> None:
    if meta_len > MAX_META_BYTES:
        raise FrameError(
            f"meta of {meta_len} bytes; at most {MAX_META_BYTES} are allowed", code="too_large", close_code=1009
        )
    if payload_len > MAX_PAYLOAD_BYTES:
        text = f"payload of {payload_len} bytes; at most {MAX_PAYLOAD_BYTES} are allowed"
        raise FrameError(text, code="too_large", close_code=1009)


def _check_depth(raw: bytes, what: str) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_JSON_DEPTH:
        return  # as nearly always: not even all of them within each other are too deep
    depth = 0
    for part in _JSON_PARTS.finditer(raw):
        mark = raw[part.start()]
        if mark in b"[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise FrameError(f"{what} is nested deeper than {MAX_JSON_DEPTH}")
        elif mark in b"]}":
            depth -= 1


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _bounded_int(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_JSON_INTEGER:
        raise ValueError("an integer beyond 2^53-1")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


# Made once: json.dumps and json.loads with options would make one a call, which takes longer than a small meta.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_bounded_int,
    parse_float=_finite_float,
    parse_constant=_no_constant,
)
