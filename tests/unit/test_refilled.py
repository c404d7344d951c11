"""The codec `refilled`: the tokens that say most travel, the others are the median that both sides have stored."""

from __future__ import annotations

import asyncio
import dataclasses
import tracemalloc

import numpy as np
import pytest

import bases
import learned
from damaged import cut_or_longer, refused
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.local import embedding_sizes
from edge_agent.engines.upload import Coding, Upload
from edge_agent.errors import UsageError
from edge_agent.transport.codecs import decode_tensor, decode_views, register_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Welcome
from edge_agent.transport.refilled import Refilled, parse_medians
from edge_agent.types import Decision, Embeddings, Route
from edge_agent.vlm import open_bundle

MEDIANS = parse_medians(learned.medians())
CODEC = Refilled(MEDIANS)


@pytest.fixture(autouse=True)
def _registered():
    register_codec(CODEC)


def view(far: slice = slice(None, None, 3)) -> Embeddings:
    """The medians but for some tokens, which are far from them."""
    data = MEDIANS.data.copy()
    data[far] += 5
    return Embeddings(data, bases.ENCODER)


def test_what_is_near_the_medians_is_left_out_and_comes_back_as_they_are() -> None:
    back = decode_tensor(CODEC.at(1 / 3).encode(view()), Limits()).data
    assert np.array_equal(np.delete(back, [0, 3], 0), np.delete(MEDIANS.data, [0, 3], 0))
    assert np.allclose(back[::3], view().data[::3], atol=np.abs(view().data).max() / 7 / 2 + 1e-6)


def test_fewer_tokens_are_fewer_bytes_and_a_worse_copy() -> None:
    one = bases.embeddings(1, views=4)
    tensors = [CODEC.at(share).encode(one) for share in (0.8, 0.5, 0.2)]
    sizes = [len(tensor.payload) for tensor in tensors]
    errors = [float(np.square(decode_tensor(tensor, Limits()).data - one.data).sum()) for tensor in tensors]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


@pytest.mark.parametrize("share", [0.001, 1.0])
def test_one_token_at_least_and_all_at_most_are_kept(share: float) -> None:
    assert decode_tensor(CODEC.at(share).encode(view()), Limits()).data.shape == MEDIANS.data.shape


def test_each_view_of_a_picture_keeps_as_many_tokens() -> None:
    both = Embeddings(np.concatenate([view().data, MEDIANS.data]), bases.ENCODER)
    views = decode_views(CODEC.encode(both), Limits())
    assert len(views) == 2
    for sent, one in zip((view().data, MEDIANS.data), views, strict=True):
        alone = CODEC.encode(Embeddings(sent, bases.ENCODER))
        assert np.array_equal(one.data, decode_tensor(alone, Limits()).data)


def test_every_cut_and_every_addition_is_refused() -> None:
    tensor = CODEC.encode(view())
    assert {refused(one) for one in cut_or_longer(tensor)} == {"bad_tensor"}


@pytest.mark.parametrize("marks", [0x00, 0x01, 0xFC, 0xD3, 0x40])
def test_marks_that_are_not_those_of_the_tokens_behind_them_are_refused(marks: int) -> None:
    tensor = CODEC.encode(view())
    assert refused(dataclasses.replace(tensor, payload=bytes([marks]) + tensor.payload[1:])) == "bad_tensor"


@pytest.mark.parametrize("change", [{"config": {"level": 0}}, {"shape": (5, 8)}, {"shape": (6, 9)}, {"dtype": "int8"}])
def test_another_description_is_refused(change) -> None:
    assert refused(dataclasses.replace(CODEC.encode(view()), **change)) == "bad_tensor"


def test_few_bytes_that_declare_many_views_are_refused_before_their_memory_is_taken() -> None:
    small = dataclasses.replace(CODEC.encode(view()), shape=(6 * 2**20, 8))
    large = dataclasses.replace(CODEC.encode(view()), shape=(6 * 682, 8))
    tracemalloc.start()
    try:
        assert (refused(small), refused(large)) == ("too_large", "bad_tensor")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "made",
    [
        bases.embeddings(encoder_id="another"),
        Embeddings(np.zeros((5, 8), np.float32), bases.ENCODER),
        Embeddings(np.full((6, 8), np.nan, np.float32), bases.ENCODER),
    ],
)
def test_embeddings_that_the_medians_are_not_of_are_not_encoded(made: Embeddings) -> None:
    with pytest.raises(UsageError):
        CODEC.encode(made)


@pytest.mark.parametrize("known", [True, False])
def test_it_goes_up_where_it_is_configured_and_both_sides_know_it(known: bool) -> None:
    welcome = Welcome(1, "cloud", (CODEC.codec_id,) if known else (), (bases.ENCODER,), bases.HIDDEN)
    upload = Upload(Query("?", (view(),)), Decision(Route.CLOUD, "test", ""), Coding("refilled"), SystemClock())
    (tensor,) = asyncio.run(upload.tensors(welcome))
    assert tensor.codec == (CODEC.codec_id if known else "int8-zstd")


def test_the_shipped_pair_has_medians_and_half_the_tokens_are_expected_to_travel() -> None:
    edge, cloud = (open_bundle(name, verify=False) for name in ("edge-vqa", "cloud-vqa"))
    assert [path.name for path in edge.codec_files] == [path.name for path in cloud.codec_files]
    sizes = [embedding_sizes(edge, Coding(codec)).view_bytes for codec in ("int4-zstd", "refilled")]
    assert sizes[0] == pytest.approx(2 * sizes[1], abs=1)
