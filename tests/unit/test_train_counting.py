"""Things are added up, each token by itself: from the cache as in one run, at first to no effect, and learnably."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed: the training tools are not tested here", allow_module_level=True)

import torch
from torch import Tensor

from tools.train.counting import counting_loss
from tools.train.model import Decoder, Look
from tools.train.settings import TEXT_POSITION, ModelConfig

PLAIN = ModelConfig(vocab=20, hidden=24, layers=2, heads=3, mlp=24)
COUNTING = ModelConfig(vocab=20, hidden=24, layers=2, heads=3, mlp=24, counting=0)
PICTURE, TEXT = 40, 5


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    positions = torch.cat((torch.arange(PICTURE), TEXT_POSITION + torch.arange(TEXT)))[None]
    mask = torch.ones(PICTURE + TEXT, PICTURE + TEXT, dtype=torch.bool).tril()[None, None]
    return torch.randn(1, PICTURE + TEXT, COUNTING.hidden), positions, mask


def test_a_new_counter_changes_nothing() -> None:
    torch.manual_seed(0)
    plain, counting = Decoder(PLAIN), Decoder(COUNTING)
    counting.load_state_dict(plain.state_dict(), strict=False)
    given = inputs()
    torch.testing.assert_close(counting.run(*given)[0], plain.run(*given)[0])


def test_text_that_reads_the_picture_from_the_cache_counts_the_same() -> None:
    torch.manual_seed(0)
    decoder = Decoder(COUNTING).eval()
    assert decoder.counter is not None
    torch.nn.init.normal_(decoder.counter.told.weight)
    x, positions, mask = inputs()
    looks: list[Look] = []
    whole, _ = decoder.run(x, positions, mask, None, looks)
    first, kept = decoder.run(x[:, :PICTURE], positions[:, :PICTURE], mask[:, :, :PICTURE, :PICTURE])
    later, _ = decoder.run(x[:, PICTURE:], positions[:, PICTURE:], mask[:, :, PICTURE:], kept)
    torch.testing.assert_close(torch.cat((first, later), dim=1), whole, atol=1e-5, rtol=1e-4)
    assert looks[0].tally is not None
    assert looks[1].tally is None
    torch.testing.assert_close(
        decoder.counter(x, positions, *turns(decoder, positions), mask, kept_of(looks))[0][0, 0], x[0, 0]
    )


def turns(decoder: Decoder, positions: Tensor) -> tuple[Tensor, Tensor]:
    return decoder.cos[positions][:, None], decoder.sin[positions][:, None]


def kept_of(looks: list[Look]) -> tuple[Tensor, Tensor]:
    return looks[0].key, looks[0].key


@pytest.mark.parametrize("tiles", [True, False])
def test_the_loss_is_least_where_sums_and_tokens_are_right(tiles: bool) -> None:
    heat = torch.tensor([[1.0, 0.0, 0.4, 1.0, 1.0, 0.0], [0.0] * 6])
    tile = torch.tensor([False, False, False, True, True, True])
    seen = torch.ones(2, 6, dtype=torch.bool) if tiles else ~tile.expand(2, 6)
    number = torch.tensor([2, 0])
    right = torch.where(heat > 0.5, 9.0, -9.0)
    sums = torch.tensor([[2.0, 2.0 if tiles else 0.0], [0.0, 0.0]])
    least = float(counting_loss(right, sums, heat, number, seen, tile))
    assert least < 0.01
    border = right.clone()
    border[0, 2] = 9.0
    assert float(counting_loss(border, sums, heat, number, seen, tile)) == pytest.approx(least)
    for scores, told in ((-right, sums), (right, sums + 1)):
        assert float(counting_loss(scores, told, heat, number, seen, tile)) > 0.3
