"""Packs many questions behind one picture into one sequence, and makes batches of such sequences.

Sequence: 49 image tokens, then segments `<q> question <a> answer <eos>` (sometimes two in a row, as in a conversation).
A token looks at the image and at what came before it in its own segment; positions restart at each segment.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from tools.train.questions import Asker, Question
from tools.train.settings import IMAGE_TOKENS
from tools.train.text import ASK, EOS, PAD, REPLY
from tools.train.views import View

IGNORE = -100
WEIGHTS = {"relation": 2.0, "count": 1.5, "place": 1.5}
"""How much an answer counts in the loss, by kind; 1 if not named."""


@dataclass(slots=True)
class Batch:
    """`features` [b, 49, 1280] float32; `ids`, `targets`, `positions` [b, t]; `mask` [b, 1, 49 + t, 49 + t] bool;
    `weights` [b, t] float32 of each target; `rows` the views' numbers.
    """

    features: Tensor
    ids: Tensor
    targets: Tensor
    weights: Tensor
    positions: Tensor
    mask: Tensor
    rows: list[int]


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
        out[0], out[1], out[2] = PAD, IGNORE, IMAGE_TOKENS
        at, number, left = 0, 1, list(questions)
        while left:
            take = 2 if len(left) > 1 and rng.random() < 0.08 else 1
            ids, targets, weights = self.segment(left[:take])
            left = left[take:]
            if at + len(ids) > length:
                continue
            end = at + len(ids)
            out[:, at:end] = (ids, targets, range(IMAGE_TOKENS, IMAGE_TOKENS + len(ids)), [number] * len(ids), weights)
            at, number = end, number + 1
        return out


def attention_mask(segments: Tensor, seen: Tensor) -> Tensor:
    """`segments` [b, t] (0 = padding), `seen` [b, 49] bool (False = dropped) to [b, 1, 49 + t, 49 + t] bool."""
    b, t = segments.shape
    image = torch.full((b, IMAGE_TOKENS), -1, dtype=segments.dtype)
    owner = torch.cat((image, segments), dim=1)  # [b, n]
    same = owner[:, :, None] == owner[:, None, :]
    to_image = torch.cat((seen, torch.zeros(b, t, dtype=torch.bool)), dim=1)[:, None, :]
    keep_image = torch.cat((seen, torch.ones(b, t, dtype=torch.bool)), dim=1)[:, None, :]
    n = owner.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    mask = ((same & keep_image) | to_image) & causal
    return (mask | torch.eye(n, dtype=torch.bool))[:, None]


class Batches:
    """An endless stream of training batches from the cache; `shares` says how often each source is drawn."""

    def __init__(
        self,
        views: list[View],
        features: NDArray[np.float16],
        top: list[list[tuple[int, float]]],
        packer: Packer,
        names: list[str],
        shares: dict[str, float],
        seed: int,
    ) -> None:
        self._views, self._features, self._top, self._packer = views, features, top, packer
        self._rng = random.Random(seed)
        self.asker = Asker(random.Random(seed + 1), names)
        self._rows = {s: [i for i, v in enumerate(views) if v["source"] == s and v["split"] == "train"] for s in shares}
        self._sources = [s for s in shares if self._rows[s]]
        self._weights = [shares[s] for s in self._sources]

    def make(self, size: int, length: int, image_drop: float = 0.04, token_drop: float = 0.15) -> Batch:
        rows = [self._rng.choice(self._rows[s]) for s in self._rng.choices(self._sources, self._weights, k=size)]
        packed = np.stack(
            [self._packer.row(self.asker.ask(self._views[r], self._top[r]), length, self._rng) for r in rows]
        )
        seen = torch.ones(size, IMAGE_TOKENS, dtype=torch.bool)
        for i in range(size):
            chance = self._rng.random()
            if chance < image_drop:
                seen[i] = False
            elif chance < image_drop + token_drop:
                seen[i] = torch.rand(IMAGE_TOKENS) > 0.25
        return Batch(
            torch.from_numpy(self._features[rows].astype(np.float32)),
            torch.from_numpy(packed[:, 0].astype(np.int64)),
            torch.from_numpy(packed[:, 1].astype(np.int64)),
            torch.from_numpy(packed[:, 4].astype(np.float32)),
            torch.from_numpy(packed[:, 2].astype(np.int64)),
            attention_mask(torch.from_numpy(packed[:, 3].astype(np.int64)), seen),
            rows,
        )
