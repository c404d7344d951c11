"""Losses that show a decoder where to look: which tokens a named thing covers, and how two named things compare.

A question that names things ("is the dog left of the cat?") is a chain: find each thing, fetch its place, compare. From
yes and no alone the chain is not learned in any affordable time, since no link helps before all others work. So each
link gets a loss of its own, from what is known of the picture: the attention of the last piece of a noun must lie on
the tokens under its boxes, the reply must look at the first and the second noun, the state of the noun tells its place
and number, that of the reply which of both is further right, lower, more. To count, one head of the noun must look at
each of the n things as much as at the start of the question, so that this start gets 1 / (n + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.crops import View
from tools.train.labels import COCO, SYNONYMS, plural
from tools.train.model import Look
from tools.train.settings import CELLS, GRID, IMAGE_TOKENS, TILE_COLUMNS, TILE_OVERLAP, TILE_ROWS, ModelConfig
from tools.train.text import ASK, REPLY

STEPS = {2: (0, 1), 4: (1, 2), 5: (2, 3), 6: (1, 3), 8: (2, 4)}
"""Layers of a decoder to the one that finds the things a question names and the one that brings them together."""
GUIDED = 2
"""How many heads of a layer are told where to look."""
COUNTS = GUIDED
"""The head that counts."""
MOST = 9
IGNORE = -100
Box = list[float]


def covered(boxes: Sequence[Box], views: int) -> NDArray[np.float32]:
    """[views * 51] share of each picture token's cell under any of `boxes` (0..1); of the last, 0 for names."""
    made = np.zeros((views, IMAGE_TOKENS), dtype=np.float32)
    wide, high = (
        1 / (TILE_COLUMNS - (TILE_COLUMNS - 1) * TILE_OVERLAP),
        1 / (TILE_ROWS - (TILE_ROWS - 1) * TILE_OVERLAP),
    )
    for view in range(views):
        left, top, w, h = 0.0, 0.0, 1.0, 1.0
        if view:
            row, column = divmod(view - 1, TILE_COLUMNS)
            left, top, w, h = column * (1 - wide), row * (1 - high), wide, high
            left, top = left / max(1, TILE_COLUMNS - 1), top / max(1, TILE_ROWS - 1)
        at = np.arange(GRID) / GRID
        for x0, y0, x1, y1 in boxes:
            across = _shared(left + at * w, w / GRID, x0, x1)
            down = _shared(top + at * h, h / GRID, y0, y1)
            made[view, :CELLS] = np.maximum(made[view, :CELLS], np.outer(down, across).ravel())
    return made.ravel()


def portions(boxes: Sequence[Box], views: int) -> NDArray[np.float32]:
    """[views * 51]: each box's 1, spread over the tokens under it: of the whole view, and once more of all tiles."""
    made = np.zeros(views * IMAGE_TOKENS, dtype=np.float32)
    for box in boxes:
        heat = covered([box], views)
        for part in (slice(0, IMAGE_TOKENS), slice(IMAGE_TOKENS, None)):
            made[part] += heat[part] / max(1e-6, float(heat[part].sum()))
    return made


def _shared(start: NDArray[np.float64], size: float, low: float, high: float) -> NDArray[np.float64]:
    """[n] share of each interval `start` .. `start + size` that lies in `low` .. `high`."""
    inside = np.minimum(start + size, high) - np.maximum(start, low)
    return np.asarray(np.clip(inside, 0, None) / size)


class Nouns:
    """Finds labels, their plurals and synonyms among token ids; the longest name wins."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._names: dict[tuple[int, ...], str] = {}
        for label in COCO:
            for word in (label, *SYNONYMS.get(label, ())):
                for form in (plural(word), word):
                    self._names[tuple(tokenizer.encode(form, add_special_tokens=False).ids)] = label
        self._longest = max(map(len, self._names))

    def find(self, ids: Sequence[int]) -> list[tuple[int, str]]:
        """(index of the last piece, label) of each name in `ids`."""
        found, at = [], 0
        while at < len(ids):
            for size in range(min(self._longest, len(ids) - at), 0, -1):
                label = self._names.get(tuple(ids[at : at + size]))
                if label is not None:
                    found.append((at + size - 1, label))
                    at += size - 1
                    break
            at += 1
        return found


@dataclass(slots=True)
class Marks:
    """What is known of a batch: `nouns` (row, index in the text), `starts` (index of the question's first token),
    `heat` and `share` (see `covered`, `portions`) a row each, `place` [n, 2], `number` [n];
    `pairs` (row, index of the reply, of the first noun, of the second), `order` [m, 3]: 0 or 1, or IGNORE.
    """

    nouns: list[tuple[int, int]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    heat: list[NDArray[np.float32]] = field(default_factory=list)
    share: list[NDArray[np.float32]] = field(default_factory=list)
    place: list[list[int]] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    pairs: list[tuple[int, int, int, int]] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)


def mark(nouns: Nouns, views: Sequence[View | None], ids: Sequence[Sequence[int]], count: int) -> Marks:
    """`ids` [b][t] packed questions about `views`, of which `count` views are shown each."""
    made = Marks()
    for row, (view, words) in enumerate(zip(views, ids, strict=True)):
        if view is None:
            continue
        boxes: dict[str, list[Box]] = {}
        for thing in view["objects"]:
            boxes.setdefault(thing["label"], []).append(thing["box"])
        known = {label: own for label, own in boxes.items() if label not in view["unsure"]}
        heats = {label: (covered(own, count), portions(own, count)) for label, own in known.items()}
        for start, end in _questions(words):
            named = [(start + i, label) for i, label in nouns.find(words[start:end])]
            found = [(at, label) for at, label in named if label in known]
            for at, label in found:
                made.nouns.append((row, at))
                made.starts.append(start - 1)
                made.heat.append(heats[label][0])
                made.share.append(heats[label][1])
                made.place.append(_place(known[label]))
                made.number.append(min(MOST, len(known[label])))
            if len(found) == 2:
                (one, a), (two, b) = found
                made.pairs.append((row, end, one, two))
                made.order.append(_order(known[a], known[b]))
    return made


def _questions(words: Sequence[int]) -> list[tuple[int, int]]:
    """Where each question starts and where its reply token stands."""
    found, start = [], -1
    for at, word in enumerate(words):
        if word == ASK:
            start = at + 1
        elif word == REPLY and start >= 0:
            found.append((start, at))
            start = -1
    return found


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _place(boxes: list[Box]) -> list[int]:
    """Column and row of the grid under the middle of the only box; IGNORE if there are several."""
    if len(boxes) != 1:
        return [IGNORE, IGNORE]
    return [min(GRID - 1, int(v * GRID)) for v in _middle(boxes[0])]


def _order(one: list[Box], two: list[Box]) -> list[int]:
    """Is the second further right, further down, are there more of it: 1 or 0, IGNORE where it cannot be said."""
    made = [IGNORE, IGNORE, IGNORE if len(one) == len(two) else int(len(two) > len(one))]
    if len(one) == len(two) == 1:
        for axis in (0, 1):
            apart = _middle(two[0])[axis] - _middle(one[0])[axis]
            made[axis] = int(apart > 0) if abs(apart) > 0.1 else IGNORE
    return made


class Pointing(nn.Module):  # type: ignore[misc]
    """The losses for a decoder of `config`."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.finds, self.gathers = STEPS[config.layers]
        self.nouns = Nouns(tokenizer)
        self.place = nn.Linear(config.hidden, 2 * GRID)
        self.number = nn.Linear(config.hidden, MOST + 1)
        self.order = nn.Linear(config.hidden, 3)

    def forward(
        self, looks: list[Look], views: Sequence[View | None], ids: Tensor, shown: int, keep: Tensor | None
    ) -> dict[str, Tensor]:
        """`looks` of each layer over prefix and text `ids` [b, t]; `views` None where the picture is not to be seen;
        `keep` [k] which of the tokens of `shown` views and the sound stand in the prefix (None: all).
        """
        offset = looks[0].state.shape[1] - ids.shape[1]
        marks = mark(self.nouns, views, ids.tolist(), shown)
        if not marks.nouns:
            return {}
        pictures = shown * IMAGE_TOKENS
        every = torch.arange(pictures) if keep is None else keep[keep < pictures]
        heat = torch.from_numpy(np.stack(marks.heat))[:, every]  # [n, k]
        made = {"find": self._find(looks[self.finds], marks, heat, offset)}
        share = torch.from_numpy(np.stack(marks.share))[:, every]
        made["count"] = self._counted(looks[self.finds], marks, share, every >= IMAGE_TOKENS, offset)
        made |= self._told(looks[self.finds], marks, offset)
        if marks.pairs:
            made |= self._gathered(looks[self.gathers], marks, offset)
        return made

    def _find(self, look: Look, marks: Marks, heat: Tensor, offset: int) -> Tensor:
        """Cross-entropy of the guided heads' attention, of what of it is on the picture, against the boxes."""
        rows, at = torch.tensor(marks.nouns).T
        query = look.query[rows, :GUIDED, at + offset]  # [n, g, d]
        keys = look.key[:, :GUIDED, : heat.shape[1]][rows]  # [n, g, k, d]
        scores = torch.einsum("ngd,ngkd->ngk", query, keys) / query.shape[-1] ** 0.5
        wanted = heat / heat.sum(dim=1, keepdim=True).clamp_min(1e-6)
        losses = -(wanted[:, None] * scores.log_softmax(dim=-1)).sum(dim=-1)
        floor = -(wanted * wanted.clamp_min(1e-9).log()).sum(dim=-1)
        return (losses - floor[:, None]).mean()

    def _counted(self, look: Look, marks: Marks, share: Tensor, tile: Tensor, offset: int) -> Tensor:
        """Cross-entropy of the counting head's attention against 1 a thing and 1 for the start of the question.

        `share` [n, k], of whose columns `tile` [k] belong to tiles: those count where they are seen, else the whole
        view's. What is missing of a thing is missing in both sides' sums, so that the scores stay as they are.
        """
        rows, at = torch.tensor(marks.nouns).T
        query, key = look.query[rows, COUNTS, at + offset], look.key[rows, COUNTS]  # [n, d], [n, past + t, d]
        seen = look.mask[rows, 0, at + offset]  # [n, past + t]
        scores = torch.einsum("nd,nkd->nk", query, key) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~seen, -1e9)
        there = seen[:, : share.shape[1]]
        tiled = (there & tile).any(dim=1, keepdim=True)  # [n, 1]
        wanted = torch.zeros_like(scores)
        wanted[:, : share.shape[1]] = share * (there & (tile == tiled))
        wanted[torch.arange(len(rows)), torch.tensor(marks.starts) + offset] = 1.0
        wanted = wanted / wanted.sum(dim=1, keepdim=True)
        losses = -(wanted * scores.log_softmax(dim=-1)).sum(dim=-1)
        floor = -(wanted * wanted.clamp_min(1e-9).log()).sum(dim=-1)
        return (losses - floor).mean()

    def _told(self, look: Look, marks: Marks, offset: int) -> dict[str, Tensor]:
        """Place and number from the state of the noun."""
        rows, at = torch.tensor(marks.nouns).T
        state = look.state[rows, at + offset]  # [n, hidden]
        state = state * torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + 1e-5)
        place = self.place(state).view(-1, GRID)  # [n * 2, 7]
        wanted = torch.tensor(marks.place).flatten()
        made = {"number": F.cross_entropy(self.number(state), torch.tensor(marks.number))}
        if (wanted != IGNORE).any():
            made["place"] = F.cross_entropy(place, wanted, ignore_index=IGNORE)
        return made

    def _gathered(self, look: Look, marks: Marks, offset: int) -> dict[str, Tensor]:
        """The reply looks at both nouns, a head each, and its state tells their order."""
        rows, reply, one, two = torch.tensor(marks.pairs).T
        state = look.state[rows, reply + offset]
        state = state * torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + 1e-5)
        order, known = torch.tensor(marks.order), torch.tensor(marks.order) != IGNORE
        made = {}
        if known.any():
            made["order"] = F.binary_cross_entropy_with_logits(self.order(state)[known], order[known].float())
        query = look.query[rows, :GUIDED, reply + offset]  # [m, g, d]
        keys = look.key[:, :GUIDED][rows]  # [m, g, prefix + t, d]
        scores = torch.einsum("ngd,ngkd->ngk", query, keys) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~look.mask[rows, 0, reply + offset][:, None], -1e9)
        at = torch.stack((one, two), dim=1) + offset  # [m, 2]
        made["gather"] = F.cross_entropy(scores.flatten(0, 1), at.flatten())
        return made
