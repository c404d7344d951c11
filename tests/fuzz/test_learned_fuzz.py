"""Whatever bytes come, the codecs of what was learned end in a value or a FrameError, their files in a codec or in a
ModelError.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bases
import learned
from edge_agent.errors import ModelError
from edge_agent.transport.changes import Changes, resolved
from edge_agent.transport.codecs import EncodedTensor, decode_tensor, register_codec
from edge_agent.transport.frames import FrameError
from edge_agent.transport.learned_file import header_bytes, read_header
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected
from edge_agent.transport.refilled import Refilled, parse_medians
from edge_agent.transport.shipped import read_shipped

SMALL = Limits(tokens_per_tensor=64, hidden_size=64)
REFILLED = Refilled(parse_medians(learned.medians()))
register_codec(REFILLED)
CHANGES = learned.changes_codec()
FILES = (bases.basis_bytes(), learned.medians(), learned.changes())
NUMBERS = st.one_of(st.integers(), st.integers(-(10**400), 10**400), st.floats())
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=60)),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(st.text(max_size=6), inside, max_size=3)),
    max_leaves=6,
)
DAMAGE = st.lists(st.tuples(st.integers(0, 999), st.integers(1, 255)), max_size=4)


def damaged(payload: bytes, damage: list[tuple[int, int]]) -> bytes:
    body = bytearray(payload)
    for position, change in damage if body else ():
        body[position % len(body)] ^= change
    return bytes(body)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 5), st.binary(max_size=4), st.binary(max_size=200), st.booleans())
def test_any_refilled_payload_is_decoded_to_its_shape_or_refused(views, marks, body, wrap):
    payload = marks + (zstandard.ZstdCompressor().compress(body) if wrap else body)
    shape = (views * bases.TOKENS, bases.HIDDEN)
    with contextlib.suppress(FrameError):
        data = decode_tensor(EncodedTensor(REFILLED.codec_id, "int4", shape, payload, bases.ENCODER), SMALL).data
        assert data.shape == shape
        assert np.isfinite(data).all()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.floats(0, 1), DAMAGE, DAMAGE)
def test_a_damaged_refilled_tensor_is_decoded_to_finite_values_or_refused(seed, views, share, marks, damage):
    tensor = REFILLED.at(share).encode(bases.embeddings(seed, views=views))
    size = -(-tensor.shape[0] // 8)
    body = damaged(zstandard.ZstdDecompressor().decompress(tensor.payload[size:]), damage)
    payload = damaged(tensor.payload[:size], marks) + zstandard.ZstdCompressor().compress(body)
    with contextlib.suppress(FrameError):
        data = decode_tensor(dataclasses.replace(tensor, payload=payload), SMALL).data
        assert data.shape == tensor.shape
        assert np.isfinite(data).all()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.integers(0, 1), st.binary(max_size=60))
def test_any_bytes_of_a_change_make_a_whole_tensor_or_are_refused(seed, views, level, payload):
    base = CHANGES.projected.at(level).encode(bases.embeddings(seed, views=views))
    config = {"base": base.tensor_id()[:16], "level": level}
    tensor = dataclasses.replace(base, codec=CHANGES.codec_id, payload=payload, config=config)
    with contextlib.suppress(FrameError):
        assert decode_tensor(resolved(tensor, base), SMALL).data.shape == tensor.shape


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.integers(0, 1), st.floats(0, 0.4), DAMAGE)
def test_a_damaged_change_is_refused_or_makes_a_tensor_of_another_name(seed, views, level, share, damage):
    before = bases.embeddings(seed, views=views)
    base = CHANGES.projected.at(level).encode(before)
    made = CHANGES.change(learned.after(before, seed, share), base, level)
    if made is not None:
        with contextlib.suppress(FrameError):
            whole = resolved(dataclasses.replace(made, payload=damaged(made.payload, damage), whole=None), base)
            assert decode_tensor(whole, SMALL).data.shape == made.shape
            assert (whole.payload == made.whole.payload) == (whole.tensor_id() == made.tensor_id())


def parts(value: Any) -> list[tuple[Any, Any]]:
    """Every object and list within a header, with each key of it."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [found for key in keys for found in parts(value[key])]


KINDS = (Projected, Refilled, Changes)


def is_codec_or_refused(data: bytes) -> bool:
    """Whether a file is one of the codecs, or refused in words that name it or call its id damaged; raises the rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "learned.bin"
        path.write_bytes(data)
        try:
            return isinstance(read_shipped(path), KINDS)
        except ModelError as error:
            return str(path) in str(error) or " damaged: " in str(error)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FILES), DAMAGE)
def test_a_damaged_file_is_a_codec_or_refused(good, damage):
    assert is_codec_or_refused(damaged(good, damage))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 999), JSON)
def test_whatever_a_header_says_the_file_is_a_codec_or_refused(good, where, said):
    header, at = read_header(good, good[:8], 1)
    every = parts(header)
    inside, key = every[where % len(every)]
    inside[key] = said
    assert is_codec_or_refused(header_bytes(good[:8], header) + good[at:])
