"""The codec `projected`: the native transform and coder against NumPy, and what it refuses."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bases
from damaged import cut_or_longer, refused
from edge_agent import _core
from edge_agent.errors import UsageError
from edge_agent.transport import projection
from edge_agent.transport.basis import parse_basis
from edge_agent.transport.codecs import decode_tensor, decode_views, find_codec, register_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected
from edge_agent.types import Embeddings

BASIS = parse_basis(bases.basis_bytes())
CODEC = Projected(BASIS)
PARTS = (BASIS.tokens, BASIS.hidden, BASIS.groups, BASIS.levels)
NATIVE, REFERENCE = _core.Projection(*PARTS), projection.Projection(*PARTS)


@pytest.fixture(autouse=True)
def _registered():
    register_codec(CODEC)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("views", [1, 5])
def test_every_instruction_set_gives_the_bits_of_the_reference(isa, level, views):
    x = np.random.default_rng(level).normal(size=(views * 6, 8)).astype(np.float32) * 5
    values = NATIVE.quantise(x, level, isa=isa)
    assert np.array_equal(values, REFERENCE.quantise(x, level))
    assert NATIVE.restore(values, level, isa=isa).tobytes() == REFERENCE.restore(values, level).tobytes()
    payload = NATIVE.pack(values, level)
    assert payload == REFERENCE.pack(values, level)
    assert np.array_equal(REFERENCE.unpack(payload, level, views), values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-20, 20), st.integers(-32767, 32767)), min_size=38, max_size=38))
def test_all_integers_survive_and_both_coders_write_the_same_bytes(numbers):
    values = np.array([numbers], np.int32)
    payload = NATIVE.pack(values, 0)
    assert payload == REFERENCE.pack(values, 0)
    assert np.array_equal(NATIVE.unpack(payload, 0), values)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 999), st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 99), st.integers(1, 255))))
def test_bytes_that_are_read_are_those_that_would_be_written(seed, noise, damage):
    payload = bytearray(noise if seed % 2 else CODEC.encode(bases.embeddings(seed)).payload)
    for position, change in damage if payload else ():
        payload[position % len(payload)] ^= change
    native, reference = (_read(coder, bytes(payload)) for coder in (NATIVE, REFERENCE))
    assert native == reference


def _read(coder, payload: bytes) -> list[int] | None:
    """The values, or None where the bytes are refused."""
    try:
        values = coder.unpack(payload, 0)
    except ValueError:
        return None
    assert coder.pack(values, 0) == payload
    return values.tolist()


@pytest.mark.parametrize("level", [0, 1])
def test_what_is_decoded_lies_near_and_keeps_its_name(level):
    made = bases.embeddings(encoder_id=bases.ENCODER + "+litert-int8")
    tensor = CODEC.at(level).encode(made)
    assert tensor.config == {"level": level}
    back = decode_tensor(tensor, Limits())
    assert back.encoder_id == made.encoder_id
    assert np.abs(coefficients(back.data) - coefficients(made.data)).max() <= 0.6251 * BASIS.levels[level]["steps"][0]
    assert np.array_equal(back.data[4:, :5], BASIS.groups[1]["mean"][:, :5])  # only three channels are kept there


def coefficients(data: np.ndarray) -> np.ndarray:
    """Of the six tokens in the coordinates of the basis, of which 4 x 8 and 2 x 3 travel."""
    found = []
    for group in BASIS.groups:
        x = data[group["first"] :][: len(group["mean"])].astype(np.float64) - group["mean"]
        found.append((np.kron(group["down"], group["across"]) @ x @ group["analysis"]).ravel())
    return np.concatenate(found)


def test_views_of_a_picture_travel_as_one_tensor_and_come_back_as_views():
    made = bases.embeddings(views=5)
    tensor = CODEC.encode(made)
    views = decode_views(tensor, Limits())
    assert (tensor.shape, len(views)) == ((30, 8), 5)
    for at, view in enumerate(views):
        alone = dataclasses.replace(made, data=made.data[6 * at : 6 * at + 6])
        assert np.array_equal(view.data, decode_tensor(CODEC.encode(alone), Limits()).data)
    assert len(tensor.payload) < sum(len(CODEC.encode(dataclasses.replace(made, data=v.data)).payload) for v in views)


@pytest.mark.parametrize("views", [1, 2, 4, 682])
def test_no_number_of_views_but_the_true_one_is_read(views):
    tensor = CODEC.encode(bases.embeddings(views=3))
    assert refused(dataclasses.replace(tensor, shape=(6 * views, 8))) == "bad_tensor"


def test_few_bytes_that_declare_many_views_are_refused_before_their_memory_is_taken():
    tensor = dataclasses.replace(CODEC.encode(bases.embeddings()), shape=(6 * 2**20, 8))
    tracemalloc.start()
    try:
        assert refused(tensor) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_every_cut_and_every_addition_is_refused():
    tensor = CODEC.encode(bases.embeddings())
    assert {refused(one) for one in cut_or_longer(tensor)} == {"bad_tensor"}


@pytest.mark.parametrize(
    "change",
    [
        {"config": {}},
        {"config": {"level": 2}},
        {"config": {"level": -1}},
        {"config": {"level": True}},
        {"config": {"level": 0, "more": 1}},
        {"shape": (5, 8)},
        {"shape": (6, 9)},
        {"dtype": "int8"},
    ],
)
def test_another_description_is_refused(change):
    assert refused(dataclasses.replace(CODEC.encode(bases.embeddings()), **change)) == "bad_tensor"


def test_a_server_without_the_basis_refuses_by_name():
    tensor = dataclasses.replace(CODEC.encode(bases.embeddings()), codec="projected-0123456789abcdef")
    assert refused(tensor) == "unknown_codec"
    assert find_codec(CODEC.codec_id) is not None


@pytest.mark.parametrize(
    "made",
    [
        bases.embeddings(encoder_id="another"),
        Embeddings(np.zeros((5, 8), np.float32), bases.ENCODER),
        Embeddings(np.full((6, 8), np.nan, np.float32), bases.ENCODER),
        Embeddings(np.full((6, 8), 1e30, np.float32), bases.ENCODER),
    ],
)
def test_embeddings_that_the_basis_is_not_for_are_not_encoded(made):
    with pytest.raises(UsageError):
        CODEC.encode(made)
