"""Pruning as a codec: the tokens that say most are kept, the others are what the other side has stored."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.cli.bench.codec_dropped import Refilled, refilled
from edge_agent.types import Embeddings

STORED = np.random.default_rng(0).normal(size=(51, 16)).astype(np.float32)


def view() -> Embeddings:
    """Stored tokens but for every third, which is far from them."""
    data = STORED.copy()
    data[::3] += 5
    return Embeddings(data, "e")


def test_what_is_near_the_stored_tokens_is_left_out_and_comes_back_as_they_are() -> None:
    codec = Refilled("x", 1 / 3, STORED)
    tensor = codec.encode(view())
    back = codec.decode(tensor).data
    assert tensor.shape == (17, 16)
    assert np.array_equal(np.delete(back, slice(None, None, 3), 0), np.delete(STORED, slice(None, None, 3), 0))
    assert np.allclose(back[::3], view().data[::3], atol=np.abs(view().data).max() / 7 / 2 + 1e-6)


def test_fewer_tokens_are_fewer_bytes_and_a_worse_copy() -> None:
    rng = np.random.default_rng(1)
    one = Embeddings(rng.normal(size=(51, 16)).astype(np.float32), "e")
    codecs = [Refilled("x", share, STORED) for share in (0.8, 0.5, 0.2)]
    tensors = [codec.encode(one) for codec in codecs]
    sizes = [len(tensor.payload) for tensor in tensors]
    errors = [float(np.square(c.decode(t).data - one.data).sum()) for c, t in zip(codecs, tensors, strict=True)]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


@pytest.mark.parametrize("share", [0.001, 1.0])
def test_one_token_at_least_and_all_at_most_are_kept(share: float) -> None:
    codec = Refilled("x", share, STORED)
    assert codec.decode(codec.encode(view())).data.shape == STORED.shape


def test_there_are_no_such_rows_without_a_basis() -> None:
    assert refilled([]) == {}
