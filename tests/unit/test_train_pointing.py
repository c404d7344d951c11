"""The losses that show a decoder where to look know which tokens a thing covers and how two things compare."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed: the training tools are not tested here", allow_module_level=True)

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from tools.train.model import Decoder, Look
from tools.train.pack import attention_mask
from tools.train.places import cell_middles
from tools.train.pointing import IGNORE, Nouns, Pointing, covered, mark, portions
from tools.train.settings import CELLS, GRID, IMAGE_TOKENS, TEXT_POSITION, VIEWS, ModelConfig
from tools.train.text import ASK, EOS, REPLY, SPECIAL

TEXT = "is the dog left of traffic light lights cat yes no dogs people"
WORDS = [*SPECIAL, *TEXT.split()]


@pytest.fixture
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.fixture
def nouns(tokenizer: Tokenizer) -> Nouns:
    return Nouns(tokenizer)


def ids(text: str) -> list[int]:
    return [WORDS.index(word) for word in text.split()]


def asked(text: str) -> list[int]:
    return [ASK, *ids(text), REPLY, *ids("yes"), EOS]


def test_names_of_several_words_and_plurals_are_found_at_their_last_word(nouns: Nouns) -> None:
    assert nouns.find(ids("is the traffic light left of the dog")) == [(3, "traffic light"), (7, "dog")]
    assert nouns.find(ids("traffic lights")) == [(1, "traffic light")]


def test_a_box_over_the_left_half_covers_the_left_tokens_of_the_whole_view_and_both_left_tiles() -> None:
    heat = covered([[0.0, 0.0, 0.5, 1.0]], VIEWS).reshape(VIEWS, IMAGE_TOKENS)
    whole = heat[0, :CELLS].reshape(GRID, GRID)
    assert (whole[:, :3] > 0.99).all()
    assert (whole[:, 4:] == 0).all()
    assert heat[1, :CELLS].mean() == pytest.approx(heat[3, :CELLS].mean())
    assert heat[1, :CELLS].mean() > 0.9
    assert heat[2, :CELLS].mean() < 0.1
    assert (heat[:, CELLS:] == 0).all()


def test_what_a_box_covers_lies_where_the_tokens_are_said_to_be() -> None:
    box = [0.6, 0.55, 0.9, 0.95]
    heat = covered([box], VIEWS)
    middles = cell_middles().numpy()
    inside = ((middles > [box[0], box[1]]) & (middles < [box[2], box[3]])).all(axis=1)
    inside = inside & (np.arange(len(inside)) % IMAGE_TOKENS < CELLS)
    assert (heat[inside] > 0.25).all()
    assert heat[~inside].max() < 0.8
    assert heat[inside].sum() > 0.7 * heat.sum()


def test_every_thing_has_the_same_portion_of_the_whole_view_and_of_the_tiles_however_large_it_is() -> None:
    share = portions([[0.0, 0.0, 0.6, 0.9], [0.7, 0.7, 0.9, 0.8]], VIEWS)
    assert share[:IMAGE_TOKENS].sum() == pytest.approx(2)
    assert share[IMAGE_TOKENS:].sum() == pytest.approx(2)


def test_two_named_things_are_compared_in_the_order_of_the_question(nouns: Nouns) -> None:
    boxes = {"dog": [0.0, 0.0, 0.3, 0.3], "cat": [0.6, 0.0, 0.9, 0.3]}
    view = {"objects": [{"label": k, "box": v} for k, v in boxes.items()], "unsure": []}
    made = mark(nouns, [view], [asked("is the dog left of the cat") + asked("is the cat left of the dog")], 1)
    assert made.order == [[1, IGNORE, IGNORE], [0, IGNORE, IGNORE]]
    assert made.pairs[0] == (0, 8, 3, 7)
    assert made.place[0] == [1, 1]


def test_numbers_are_counted_and_things_out_of_sight_or_unsure_are_left_out(nouns: Nouns) -> None:
    things = [{"label": "dog", "box": [0.0, 0.0, 0.3, 0.3]}, {"label": "dog", "box": [0.6, 0.0, 0.9, 0.3]}]
    view = {"objects": [*things, {"label": "cat", "box": [0, 0, 1, 1]}], "unsure": ["cat"]}
    made = mark(nouns, [view, None], [asked("the dogs the cat"), asked("the dogs")], 1)
    assert made.nouns == [(0, 2)]
    assert made.number == [2]
    assert made.place == [[IGNORE, IGNORE]]


def test_a_decoder_learns_from_these_losses_to_find_and_to_compare(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    config = ModelConfig(vocab=len(WORDS), hidden=48, heads=4, mlp=96, layers=4)
    decoder, pointing = Decoder(config), Pointing(config, tokenizer)
    boxes = {"dog": [0.0, 0.0, 0.3, 0.3], "cat": [0.6, 0.0, 0.9, 0.3]}
    views = [
        {"objects": [{"label": a, "box": boxes[b]} for a, b in zip(("dog", "cat"), order, strict=True)], "unsure": []}
        for order in (("dog", "cat"), ("cat", "dog"))
    ]
    pictures = torch.randn(2, IMAGE_TOKENS, config.hidden)
    text = torch.tensor([asked("is the dog left of the cat")] * 2)
    positions = torch.cat((torch.arange(IMAGE_TOKENS), TEXT_POSITION + torch.arange(text.shape[1]))).expand(2, -1)
    mask = attention_mask(torch.ones_like(text), torch.ones(2, IMAGE_TOKENS, dtype=torch.bool))
    optimiser = torch.optim.AdamW([*decoder.parameters(), *pointing.parameters()], lr=3e-3)
    seen: list[dict[str, float]] = []
    for _ in range(40):
        looks: list[Look] = []
        decoder.run(torch.cat((pictures, decoder.embed(text)), dim=1), positions, mask, None, looks)
        losses = pointing(looks, views, text, 1, None)
        seen.append({name: float(loss.detach()) for name, loss in losses.items()})
        optimiser.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        optimiser.step()
    assert set(seen[0]) == {"find", "count", "gather", "order", "place", "number"}
    assert all(seen[-1][name] < 0.5 * seen[0][name] for name in ("find", "count", "gather", "order", "place"))
