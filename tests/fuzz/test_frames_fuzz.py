"""Whatever bytes come, checksum and names put right, frames and codecs end in a value or a FrameError."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import zlib

import numpy as np
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import CloudError
from edge_agent.transport.answers import Done, Usage, tokens_of
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.codecs import CODECS, EncodedTensor, decode_tensor, find_codec
from edge_agent.transport.drafts import Draft, Verdict
from edge_agent.transport.frames import (
    Frame,
    FrameError,
    FrameType,
    canonical_json,
    decode_frame,
    encode_frame,
    parse_json,
)
from edge_agent.transport.intake import Filling, new_intake
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening, Welcome, error_of
from edge_agent.transport.resume import Resume, Resumed
from edge_agent.types import Embeddings

SMALL = Limits(tokens_per_tensor=64, hidden_size=64)
U32 = st.integers(0, 2**32 - 1)
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([8192, 8193, 2**18, 2**18 + 1, 2**31, 2**32 - 1]))
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        *("versions", "codecs", "device", "version", "model", "encoder_ids", "hidden_size", "limits", "prices"),
        *("heartbeat_s", "turn_id", "tensors", "budget", "tensor_id", "codec", "dtype", "shape", "encoder_id"),
        *("modality", "bytes", "config", "first", "n", "prompt_tokens", "completion_tokens", "cost_microusd"),
        *("timings_ms", "tokens", "finish_reason", "confidence", "max_entropy", "code", "message", "retryable"),
        "retry_after_ms",
    ]
)
FRAMES = st.builds(
    Frame,
    type=st.integers(0, 255),
    meta=st.dictionaries(KEYS, JSON, max_size=8),
    payload=st.binary(max_size=80) | st.builds(canonical_json, JSON),
    session=st.integers(0, 2**64 - 1),
    stream=U32,
    seq=U32,
    flags=st.integers(0, 255),
    schema=st.integers(0, 65535),
)
READERS = (
    Hello.from_frame,
    Welcome.from_frame,
    Usage.from_frame,
    Done.from_frame,
    error_of,
    lambda frame: TurnOpening.from_frame(frame, SMALL),
    lambda frame: TensorBegin.from_frame(frame, SMALL),
    lambda frame: tokens_of(frame, 0, SMALL),
    lambda frame: Draft.from_frame(frame, SMALL),
    lambda frame: Verdict.from_frame(frame, 5),
    Resume.from_frame,
    Resumed.from_frame,
)


def check_frame(data):
    """The bytes are refused with a FrameError, or are a frame that holds no more than they do."""
    try:
        frame = decode_frame(data)
    except FrameError:
        return
    assert len(frame.payload) <= len(data)
    assert isinstance(frame.meta, dict)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data):
    check_frame(data)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 255), SIZES, SIZES, st.binary(max_size=80), st.booleans())
def test_any_header_with_a_right_checksum(kind, meta_len, payload_len, body, fit):
    if fit:
        meta_len = min(meta_len, len(body))
        payload_len = len(body) - meta_len
    head = struct.pack("<4sBBHQIIII", b"EAP1", kind, 0, 1, 0, 0, 0, meta_len, payload_len)
    check_frame(head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet='[]{}",:\\u0123456789abcdefeE+-.truefalsn \x00\xff', max_size=120))
def test_any_json_is_read_within_the_rules_or_refused(text):
    with contextlib.suppress(FrameError):
        assert parse_json(canonical_json(parse_json(text.encode()))) == parse_json(text.encode())


@settings(max_examples=200, deadline=None)
@given(FRAMES)
def test_any_frame_survives_and_any_reader_ends_in_a_value_or_a_frame_error(frame):
    try:
        data = encode_frame(frame)
        back = decode_frame(data)
    except FrameError:
        return  # nested too deeply
    assert back == frame
    for read in READERS:
        with contextlib.suppress(CloudError):
            read(back)


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.booleans(), st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), max_size=2), st.booleans())
def test_the_intake_takes_what_the_long_way_would_and_nothing_else(frame, is_chunk, changes, mended):
    data = bytearray(encode_frame(dataclasses.replace(frame, type=FrameType.TENSOR_CHUNK) if is_chunk else frame))
    for at, mask in changes:
        data[at % len(data)] ^= mask
    if mended:
        struct.pack_into("<I", data, 32, zlib.crc32(data[36:], zlib.crc32(data[:32])))
    intake, filling = new_intake(), Filling(1000)
    intake.arm(frame.session, frame.stream, frame.seq, filling, 1000, 1000)
    took = intake.take(bytes(data))
    assert intake.settle() == ((1, filling.filled) if took else (0, 0))
    try:
        read = decode_frame(bytes(data))
    except FrameError:
        assert not took
        return
    expected = (read.session, read.stream, read.seq) == (frame.session, frame.stream, frame.seq)
    plain = read.type == FrameType.TENSOR_CHUNK and data[24:28] == bytes(4) and read.payload != b""
    assert took == (plain and expected)
    if took:
        filling.add(bytes(1000 - filling.filled))
        assert filling.finish() == read.payload.ljust(1000, b"\0")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([17, 18, 19]), st.binary(max_size=60), st.integers(0, 70)), max_size=8))
def test_any_order_of_tensor_frames_is_assembled_or_refused(steps):
    assembly = TensorAssembly(("a" * 64,), SMALL, ("e",), 8, CODECS)
    begin = {"codec": "raw-f32", "dtype": "float32", "encoder_id": "e", "modality": "image", "tensor_id": "a" * 64}
    with contextlib.suppress(FrameError):
        for kind, payload, size in steps:
            meta = begin | {"shape": [max(1, size // 32), 8], "bytes": size} if kind == FrameType.TENSOR_BEGIN else {}
            assembly.accept(Frame(kind, meta, payload))
            assert assembly.filling is None or assembly.filling.filled <= assembly.filling.size <= 70
    assert not assembly.complete  # nobody guesses a sha256


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["int8-zstd", "raw-f32"]),
    st.tuples(st.integers(-1, 70), st.integers(-1, 70)),
    st.binary(max_size=300),
    st.booleans(),
)
def test_any_payload_is_decoded_to_its_shape_or_refused(codec, shape, body, wrap):
    payload = zstandard.ZstdCompressor().compress(body) if wrap else body
    tensor = EncodedTensor(codec, {"int8-zstd": "int8"}.get(codec, "float32"), shape, payload, "e")
    with contextlib.suppress(FrameError):
        data = decode_tensor(tensor, SMALL).data
        assert data.shape == shape
        assert np.isfinite(data).all()


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(0, 999), st.integers(1, 255)), max_size=4),
)
def test_a_damaged_int8_payload_is_decoded_to_finite_values_or_refused(tokens, hidden, seed, damage):
    data = np.random.default_rng(seed).normal(size=(tokens, hidden)).astype(np.float32)
    codec = find_codec("int8-zstd")
    tensor = codec.encode(Embeddings(data, "e"))
    body = bytearray(zstandard.ZstdDecompressor().decompress(tensor.payload))
    for position, change in damage:
        body[position % len(body)] ^= change
    payload = zstandard.ZstdCompressor().compress(bytes(body))
    with contextlib.suppress(FrameError):
        back = decode_tensor(EncodedTensor("int8-zstd", "int8", (tokens, hidden), payload, "e"), SMALL)
        assert back.data.shape == (tokens, hidden)
        assert np.isfinite(back.data).all()
