"""Codecs: bounded error, exact sizes, and nothing decoded that was not declared."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
import zstandard

from damaged import cut_or_longer, refused
from edge_agent.errors import UsageError
from edge_agent.transport.codecs import CODECS, EncodedTensor, Int8Zstd, decode_tensor, find_codec
from edge_agent.transport.limits import Limits
from edge_agent.types import Embeddings, Modality

INT8 = find_codec("int8-zstd")
RAW = find_codec("raw-f32")
PLAIN = sorted(codec_id for codec_id, codec in CODECS.items() if codec.view_tokens is None)  # none that was learned


def embeddings(tokens: int = 16, hidden: int = 32, scale: float = 1.0, seed: int = 0) -> Embeddings:
    data = np.random.default_rng(seed).normal(scale=scale, size=(tokens, hidden)).astype(np.float32)
    return Embeddings(data, "encoder", Modality.AUDIO)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_int8_is_off_by_at_most_half_a_step_of_each_token(scale):
    made = embeddings(scale=scale)
    back = decode_tensor(INT8.encode(made), Limits()).data
    step = np.abs(made.data).max(axis=1, keepdims=True) / 127
    assert back.dtype == np.float32
    assert np.all(np.abs(back - made.data) <= step * 0.5001)


def test_tokens_do_not_share_their_scale():
    data = np.stack([np.full(8, 1000.0), np.full(8, 0.001)]).astype(np.float32)
    back = decode_tensor(INT8.encode(Embeddings(data, "e")), Limits()).data
    assert np.allclose(back, data, rtol=1e-6)


def test_tokens_of_zeros_and_of_subnormals_stay_finite_and_small():
    data = np.zeros((3, 8), dtype=np.float32)
    data[1] = 1e-45
    data[2, 0] = 1e-40
    back = decode_tensor(INT8.encode(Embeddings(data, "e")), Limits()).data
    assert np.all(back[0] == 0)
    assert np.all(np.abs(back - data) <= 1e-40)


def test_raw_is_exact():
    made = embeddings()
    assert np.array_equal(decode_tensor(RAW.encode(made), Limits()).data, made.data)


@pytest.mark.parametrize("codec_id", PLAIN)
def test_encoder_and_modality_survive_and_the_array_is_the_callers(codec_id):
    made = embeddings()
    back = decode_tensor(find_codec(codec_id).encode(made), Limits())
    assert (back.encoder_id, back.modality) == ("encoder", Modality.AUDIO)
    back.data[:] = 0
    assert made.data.any()


@pytest.mark.parametrize("codec_id", PLAIN)
def test_rows_that_are_not_contiguous_are_coded_like_their_copy(codec_id):
    made = embeddings(hidden=64)
    view = dataclasses.replace(made, data=made.data[:, ::2])
    copy = dataclasses.replace(made, data=np.ascontiguousarray(view.data))
    assert find_codec(codec_id).encode(view).payload == find_codec(codec_id).encode(copy).payload


@pytest.mark.parametrize("codec_id", PLAIN)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_not_encoded(codec_id, bad):
    made = embeddings()
    made.data[3, 4] = bad
    with pytest.raises(UsageError):
        find_codec(codec_id).encode(made)


@pytest.mark.parametrize("data", [np.zeros(4, np.float32), np.zeros((0, 4), np.float32), np.zeros((2, 2), np.float64)])
def test_other_shapes_and_types_are_not_encoded(data):
    with pytest.raises(UsageError):
        INT8.encode(Embeddings(data, "e"))


def test_an_unknown_codec_names_the_known_ones():
    with pytest.raises(UsageError, match=r"int4-zstd, int8-zstd.*raw-f32"):
        find_codec("int9")


@pytest.mark.parametrize("codec_id", PLAIN)
def test_every_other_shape_than_the_true_one_is_refused(codec_id):
    tensor = find_codec(codec_id).encode(embeddings(4, 8))
    for shape in [(3, 8), (5, 8), (4, 7), (4, 9), (1, 8), (4, 1)]:
        assert refused(dataclasses.replace(tensor, shape=shape)) == "bad_tensor"
    for shape in [(0, 8), (4, 0), (-4, -8), (2**31, 2**31)]:
        assert refused(dataclasses.replace(tensor, shape=shape)) == "too_large"


@pytest.mark.parametrize("codec_id", PLAIN)
def test_every_cut_and_every_addition_is_refused(codec_id):
    tensor = find_codec(codec_id).encode(embeddings(4, 8))
    assert {refused(one) for one in cut_or_longer(tensor)} == {"bad_tensor"}


def test_another_dtype_config_or_codec_is_refused():
    tensor = INT8.encode(embeddings())
    assert refused(dataclasses.replace(tensor, dtype="float32")) == "bad_tensor"
    assert refused(dataclasses.replace(tensor, config={"level": 1})) == "bad_tensor"
    assert refused(dataclasses.replace(tensor, codec="of-the-future")) == "unknown_codec"


def test_limits_are_those_of_the_receiver():
    tensor = INT8.encode(embeddings(16, 32))
    assert refused(tensor, Limits(tokens_per_tensor=15)) == "too_large"
    assert refused(tensor, Limits(hidden_size=31)) == "too_large"
    assert refused(tensor, Limits(decoded_bytes_per_turn=16 * 32 * 4 - 1)) == "too_large"
    decode_tensor(tensor, Limits(16, 16, 65536, 10**6, 16 * 32 * 4, 16, 32))


def zstd(body: bytes, **options: bool) -> bytes:
    return bytes(zstandard.ZstdCompressor(level=1, **options).compress(body))


def test_a_zstd_bomb_is_refused_without_taking_its_memory():
    bomb = zstd(bytes(200 * 2**20))
    tensor = dataclasses.replace(INT8.encode(embeddings(16, 32)), payload=bomb)
    tracemalloc.start()
    try:
        assert refused(tensor) == "bad_tensor"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_zstd_frame_without_its_size_is_refused():
    body = Int8Zstd().quantise(embeddings().data)
    assert (
        refused(dataclasses.replace(INT8.encode(embeddings()), payload=zstd(body, write_content_size=False)))
        == "bad_tensor"
    )


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_a_broken_scale_is_refused(scale):
    body = bytearray(Int8Zstd().quantise(embeddings(4, 8).data))
    body[:4] = np.float32(scale).tobytes()
    assert refused(dataclasses.replace(INT8.encode(embeddings(4, 8)), payload=zstd(bytes(body)))) == "bad_tensor"


def test_a_scale_that_overflows_is_refused():
    body = np.array([3e38], "<f4").tobytes() + bytes([100] * 8)
    tensor = EncodedTensor("int8-zstd", "int8", (1, 8), zstd(body), "e")
    assert refused(tensor) == "bad_tensor"


def test_raw_payloads_with_nan_are_refused():
    tensor = EncodedTensor("raw-f32", "float32", (1, 1), np.array([np.nan], "<f4").tobytes(), "e")
    assert refused(tensor) == "bad_tensor"


def test_the_name_of_a_tensor_changes_with_everything_that_it_is():
    tensor = INT8.encode(embeddings())
    others = [
        dataclasses.replace(tensor, payload=tensor.payload + b"x"),
        dataclasses.replace(tensor, shape=(32, 16)),
        dataclasses.replace(tensor, encoder_id="other"),
        dataclasses.replace(tensor, modality=Modality.IMAGE),
        dataclasses.replace(tensor, codec="raw-f32"),
        dataclasses.replace(tensor, dtype="int4"),
        dataclasses.replace(tensor, config={"a": 1}),
    ]
    names = {one.tensor_id() for one in [tensor, *others]}
    assert len(names) == 8
    assert all(len(name) == 64 for name in names)
    assert json.dumps(tensor.description())


def test_a_picture_of_49_tokens_takes_about_a_byte_a_value():
    tensor = INT8.encode(embeddings(49, 192))
    assert len(tensor.payload) < 49 * 192 + 49 * 4 + 64
