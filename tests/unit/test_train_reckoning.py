"""Named things are counted, compared and related by arithmetic: from embeddings alone, only when asked, and exactly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed: the training tools are not tested here", allow_module_level=True)

import numpy as np
import torch
from torch import Tensor

from reckoned_model import CONFIG, PLACES, TOKENIZER, prompt, reckoned
from tools.train.labels import COCO
from tools.train.phrases import LONGEST, Phrases
from tools.train.reckoned import Reckoned
from tools.train.reckoning import MOST, SPOTS, Reckoning, Segments, spots
from tools.train.text import REPLY


def asked(question: str) -> list[object]:
    """Names and flags that are read off a question, and first whether it opens like one that is reckoned with."""
    torch.manual_seed(0)
    words = torch.randn(CONFIG.vocab, 24)
    ids = [*TOKENIZER.encode(question).ids, REPLY]
    texts = torch.zeros(1, LONGEST, 24)
    texts[0, : len(ids)] = words[ids]
    phrases = Phrases(TOKENIZER)
    opened = bool(phrases.opened(texts, words[phrases.pieces]))
    first, second, *flags = phrases(texts, words[phrases.pieces])
    names = [[COCO[int(at)] for at in torch.nonzero(one[0])[:, 0]] for one in (first, second)]
    return [opened, *names, [int(flag) for flag in flags]]


@pytest.mark.parametrize(
    ("opened", "question", "first", "second", "flags"),
    [
        (True, "how many cars are there ?", ["car"], [], [1, 0, 0, 0]),
        (True, "count the hot dogs .", ["hot dog"], [], [1, 0, 0, 0]),
        (True, "are there more cats than teddy bears ?", ["cat"], ["teddy bear"], [0, 1, 0, 0]),
        (True, "do you see fewer mugs than sofas", ["cup"], ["couch"], [0, -1, 0, 0]),
        (True, "is the cell phone to the right of the dog ?", ["cell phone"], ["dog"], [0, 0, -1, 0]),
        (True, "is the bird above the bus ?", ["bird"], ["bus"], [0, 0, 0, 1]),
        (True, "how many red cars are there ?", [], [], [0, 0, 0, 0]),
        (True, "how many dog red are there ?", [], [], [0, 0, 0, 0]),
        (True, "are there more red than cats ?", [], [], [0, 0, 0, 0]),
        (True, "is the dog red ?", [], [], [0, 0, 0, 0]),
        (False, "what is the dog ?", [], [], [0, 0, 0, 0]),
        (False, "red how many cars are there ?", [], [], [0, 0, 0, 0]),
    ],
)
def test_a_question_is_read_off_its_embeddings(
    opened: bool, question: str, first: list[str], second: list[str], flags: list[int]
) -> None:
    assert asked(question) == [opened, first, second, flags]


def test_sums_are_those_of_independent_things_however_many_tokens_show_one() -> None:
    reckoning = Reckoning(24)
    chances, sizes = [0.9, 0.2, 0.6, 0.99], [4, 1, 2, 9]
    share = torch.tensor([1 / n for n in sizes for _ in range(n)])[None]
    odds = torch.logit(torch.tensor([p for p, n in zip(chances, sizes, strict=True) for _ in range(n)]))[None]
    wanted = np.array([1.0])
    for p in chances:
        wanted = np.convolve(wanted, [1 - p, p])
    found = reckoning._sums(odds, share).exp()[0].detach().numpy()
    np.testing.assert_allclose(found[: len(wanted)], wanted, atol=1e-4)
    assert found[len(wanted) :].max() < 1e-4
    assert found.shape == (MOST + 1,)


def test_more_is_more_and_before_is_before() -> None:
    reckoning = Reckoning(24)
    with torch.no_grad():
        reckoning.flat.fill_(1.0)
    across, down = torch.full((1, 13), -2.0), torch.full((1, 13), -2.0)
    across[0, 6] = down[0, 6] = 2.0  # four cells
    together = reckoning.together(across, down)
    share = 1 / together.sum(2)
    cell = (torch.arange(14)[:, None] // 7 * 2 + torch.arange(14)[None] // 7).flatten()
    three, one = ((torch.where(cell < 3, 6.0, -6.0))[None], (torch.where(cell == 3, 6.0, -6.0))[None])
    seen = Segments(together, share, torch.zeros(1, SPOTS, len(COCO)), torch.ones(1))
    with torch.no_grad():
        reckoning.prior[5:] = -9.0
        assert reckoning.more(three, one, share) > 1
        assert reckoning.more(one, three, share) < -1
        assert int(reckoning.evidence(three, share)[0, :5].argmax()) == 3
        top = torch.where(cell == 0, 6.0, -6.0)[None]  # the other one stands below, to the right
        assert reckoning.before(top, one, seen, reckoning.before_x) > 1
        assert reckoning.before(one, top, seen, reckoning.before_y) < -1


def told(decoder: Reckoned, question: str, left_out: int = 0) -> Tensor:
    with torch.no_grad():
        return decoder.run(*prompt(decoder, question, left_out))[0][0, :, -MOST - 3 :]  # [t, 12]


def test_only_the_beginning_of_a_reply_is_told_and_only_what_was_asked() -> None:
    decoder = reckoned()
    counted = told(decoder, "how many cars are there ?")
    assert not counted[:-1].any()
    assert counted[-1, : MOST + 1].any()
    assert not counted[-1, MOST + 1 :].any()
    compared = told(decoder, "are there more cats than dogs ?")
    assert not compared[-1, : MOST + 1].any()
    assert compared[-1, MOST + 1] == -compared[-1, MOST + 2] != 0
    torch.testing.assert_close(told(decoder, "are there fewer cats than dogs ?")[-1], -compared[-1])


def test_a_picture_without_all_of_its_tiles_and_other_questions_are_left_to_the_decoder() -> None:
    decoder = reckoned()
    assert not told(decoder, "how many cars are there ?", left_out=PLACES - int(spots().max())).any()
    assert not told(decoder, "what is the dog ?").any()
    assert len(spots().unique()) == SPOTS
