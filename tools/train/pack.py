"""Packs many questions behind one picture into one sequence.

Sequence: the tokens of picture and sound, then segments `<q> question <a> answer <eos>` (sometimes two in a row, as in
a conversation). A token looks at the picture, the sound and what came before it in its own segment; positions restart
at each segment.
"""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from tools.train.questions import Question
from tools.train.settings import TEXT_POSITION
from tools.train.text import ASK, EOS, PAD, REPLY

IGNORE = -100
WEIGHTS = {"relation": 2.0, "compare": 2.0, "count": 1.5, "place": 1.5, "daquar": 1.5, "naming": 2.0}
"""How much an answer counts in the loss, by kind; 1 if not named."""


class Packer:
    """Turns questions into ids; keeps what it has tokenized."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.encode = lru_cache(maxsize=200_000)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False).ids)
        )

    def segment(self, questions: list[Question]) -> tuple[list[int], list[int], list[float]]:
        """Ids, targets (what comes next where an answer is to be given, else IGNORE) and their weights."""
        ids: list[int] = []
        targets: list[int] = []
        weights: list[float] = []
        for question in questions:
            asked, answer = self.encode(question.text), self.encode(question.answer)
            ids += [ASK, *asked, REPLY, *answer, EOS]
            targets += [IGNORE] * (1 + len(asked)) + [*answer, EOS, IGNORE]
            weight = WEIGHTS.get(question.kind, 1.0)
            weights += [weight] * (len(asked) + len(answer) + 3)
        return ids, targets, weights

    def row(self, questions: list[Question], length: int, rng: random.Random) -> NDArray[np.float64]:
        """[5, length]: ids, targets, positions, segment numbers (0 = padding) and weights."""
        out = np.zeros((5, length))
        out[0], out[1], out[2] = PAD, IGNORE, TEXT_POSITION
        at, number, left = 0, 1, list(questions)
        while left:
            take = 2 if len(left) > 1 and rng.random() < 0.08 else 1
            ids, targets, weights = self.segment(left[:take])
            left = left[take:]
            if at + len(ids) > length:
                continue
            end = at + len(ids)
            out[:, at:end] = (
                ids,
                targets,
                range(TEXT_POSITION, TEXT_POSITION + len(ids)),
                [number] * len(ids),
                weights,
            )
            at, number = end, number + 1
        return out


def attention_mask(segments: Tensor, seen: Tensor) -> Tensor:
    """`segments` [b, t] (0 = padding), `seen` [b, p] bool (False = not there) to [b, 1, p + t, p + t] bool.

    What stands before the text looks at what came before it; text looks at that and at its own segment so far.
    """
    b, t = segments.shape
    prefix = torch.full(seen.shape, -1, dtype=segments.dtype)
    owner = torch.cat((prefix, segments), dim=1)  # [b, n]
    same = owner[:, :, None] == owner[:, None, :]
    to_prefix = torch.cat((seen, torch.zeros(b, t, dtype=torch.bool)), dim=1)[:, None, :]
    keep_prefix = torch.cat((seen, torch.ones(b, t, dtype=torch.bool)), dim=1)[:, None, :]
    n = owner.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    mask = ((same & keep_prefix) | to_prefix) & causal
    return (mask | torch.eye(n, dtype=torch.bool))[:, None]
