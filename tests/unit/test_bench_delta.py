"""What `bench codec --case delta` counts: nothing where nothing changed, and the entropy of what did."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.cli.bench.codec_delta import entropy_bytes, int8_bytes
from edge_agent.types import Embeddings


def picture(seed: int) -> Embeddings:
    data = np.random.default_rng(seed).standard_normal((20, 32)).astype(np.float32)
    return Embeddings(data, "test")


def test_the_same_picture_again_takes_nothing() -> None:
    whole, changed = int8_bytes([picture(0), picture(0), picture(0)])
    assert changed == [0.0, 0.0]
    assert all(0 < size <= 20 * 32 for size in whole)


def test_another_picture_takes_more_than_itself() -> None:
    (whole,), (changed,) = int8_bytes([picture(0), picture(1)])
    assert changed > whole


def test_classes_are_counted_each_for_itself() -> None:
    values = np.tile(np.array([[3, -3]]), (8, 1))
    assert entropy_bytes(values, None) == pytest.approx(2.0)  # a bit for each of 16 values
    assert entropy_bytes(values, np.array([0, 1])) == 0.0
