"""Each picture token is told what lies under it, of the whole and of tiles; a grown decoder begins as the small one."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed: the training tools are not tested here", allow_module_level=True)

import torch

from tools.train.eyes import prefix_positions
from tools.train.grounding import NOTHING_WEIGHT, CellNames, cell_sizes, cell_targets
from tools.train.labels import COCO
from tools.train.model import HOMES, Decoder, grow
from tools.train.settings import CELLS, GRID, IMAGE_TOKENS, VIEWS, ModelConfig

DOG, CAT, NOTHING = COCO.index("dog"), COCO.index("cat"), len(COCO)


def shown(*things: tuple[str, list[float]], source: str = "coco") -> dict[str, Any]:
    return {"source": source, "objects": [{"label": label, "box": box} for label, box in things], "unsure": []}


def test_the_cells_under_a_box_have_its_label_in_the_whole_view_and_in_the_tiles_over_it() -> None:
    targets, weights = cell_targets([shown(("dog", [0.0, 0.0, 0.5, 1.0]))], VIEWS)
    told = targets[0].view(VIEWS, IMAGE_TOKENS, -1)
    whole = told[0, :CELLS].view(GRID, GRID, -1)
    assert (whole[:, :3, DOG] > 0.99).all()
    assert (whole[:, 4:, NOTHING] > 0.99).all()
    left, right = told[1, :CELLS].view(GRID, GRID, -1), told[2, :CELLS].view(GRID, GRID, -1)
    assert (left[:, :5, DOG] > 0.99).all()
    assert (right[:, 1:, NOTHING] > 0.99).all()
    heavy = weights[0].view(VIEWS, IMAGE_TOKENS)
    assert (heavy[:, CELLS:] == 0).all()
    assert heavy[0, 0] == 1.0
    assert heavy[0, GRID - 1] == pytest.approx(NOTHING_WEIGHT)


def test_the_shares_of_a_cell_sum_to_one_and_two_things_on_one_place_share_it() -> None:
    both = [0.0, 0.0, 1.0, 1.0]
    targets, _ = cell_targets([shown(("dog", both), ("cat", both)), shown()], VIEWS)
    torch.testing.assert_close(targets.sum(dim=-1), torch.ones(2, VIEWS * IMAGE_TOKENS))
    cell = targets[0, 10]
    assert cell[DOG] == cell[CAT] == pytest.approx(0.5)


def test_a_token_is_told_how_many_tokens_its_thing_covers_and_of_two_things_the_smaller() -> None:
    dog, cat = ("dog", [0.0, 0.0, 1.0, 1.0]), ("cat", [0.0, 0.0, 0.5, 0.5])
    for things in ((dog, cat), (cat, dog)):
        sizes = cell_sizes([shown(*things), shown(dog, source="imagenet")], VIEWS)
        told = sizes[0].view(VIEWS, IMAGE_TOKENS)
        assert told[0, 0] == pytest.approx(3.5 * 3.5)
        assert told[0, CELLS - 1] == CELLS
        assert told[-1, CELLS - 1] == (VIEWS - 1) * CELLS
        assert told[1, 0] == told[1, 8] < told[-1, CELLS - 1]
        assert (told[:, CELLS:] == 0).all()
        assert (sizes[1] == 0).all()


def test_pictures_of_which_the_labels_are_not_known_give_no_loss() -> None:
    _, weights = cell_targets([shown(("dog", [0.0, 0.0, 1.0, 1.0]), source="imagenet")], 1)
    assert weights.sum() == 0


def test_what_tells_the_labels_apart_is_learned_from_the_kept_tokens() -> None:
    torch.manual_seed(0)
    config = ModelConfig(vocab=20, hidden=12, heads=2, mlp=24)
    named, keep = CellNames(config), torch.arange(0, VIEWS * IMAGE_TOKENS, 3)
    views = [shown(("dog", [0.0, 0.0, 0.5, 1.0]), ("cat", [0.5, 0.0, 1.0, 1.0]))]
    targets, _ = cell_targets(views, VIEWS)
    states = torch.randn(1, VIEWS * IMAGE_TOKENS + 4, config.hidden) * 0.1
    states[0, : VIEWS * IMAGE_TOKENS, :1] += targets[0, :, DOG : DOG + 1] * 2 - 1
    kept = torch.cat((states[:, keep], states[:, -4:]), dim=1)  # sound behind the picture's tokens is left alone
    optimiser = torch.optim.Adam(named.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = named(kept, views, VIEWS, keep)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("layers", [5, 6])
def test_a_decoder_grown_by_a_layer_or_two_computes_what_the_small_one_does(layers: int) -> None:
    torch.manual_seed(0)
    config = ModelConfig(vocab=20, hidden=12, heads=2, mlp=24, layers=4)
    small = Decoder(config)
    large = grow(small, replace(config, layers=layers))
    x, where = torch.randn(1, IMAGE_TOKENS, config.hidden), prefix_positions(1, 0)[None]
    mask = torch.ones(1, 1, IMAGE_TOKENS, IMAGE_TOKENS, dtype=torch.bool).tril()
    torch.testing.assert_close(large.run(x, where, mask)[0], small.run(x, where, mask)[0], rtol=1e-4, atol=1e-4)


def test_the_layer_that_finds_gets_one_more_before_it() -> None:
    config = ModelConfig(vocab=20, hidden=12, heads=2, mlp=24, layers=4)
    small = Decoder(config)
    large = grow(small, replace(config, layers=5))
    for own, home in zip(small.layers, HOMES[4, 5], strict=True):
        torch.testing.assert_close(large.layers[home].qkv.weight, own.qkv.weight)
    assert large.layers[1].down.weight.abs().sum() == 0
