"""The dense auxiliary loss: each token of the grid must be near the words for what lies under it.

The teacher are boxes: the 80 COCO labels, a yes or no a token, compared through the decoder's word embeddings, so that
the eyes' output and the tongue's words share a space from the start.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.crops import View
from tools.train.labels import COCO
from tools.train.pointing import covered
from tools.train.settings import CELLS, GRID, IMAGE_TOKENS, ModelConfig

NOTHING_WEIGHT = 0.15
"""How much a cell with nothing in it counts."""
_INDEX = {label: i for i, label in enumerate(COCO)}


class Grounding(nn.Module):  # type: ignore[misc]
    """Loss of [b, 49, hidden] embeddings against boxes."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        ids = [tokenizer.encode(name, add_special_tokens=False).ids[:4] for name in COCO]
        self.register_buffer("ids", torch.tensor([row + [0] * (4 - len(row)) for row in ids]), persistent=False)
        self.register_buffer(
            "used", torch.tensor([[1.0] * len(row) + [0.0] * (4 - len(row)) for row in ids]), persistent=False
        )
        self.turn = nn.Linear(config.hidden, config.hidden, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.full((len(COCO),), -3.0))

    def forward(self, embeddings: Tensor, words: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """`words` [vocab, hidden]; `targets`, `known` [b, 49, 80]."""
        rows = words[self.ids] * self.used[..., None]
        names = F.normalize(rows.sum(1), dim=-1)  # [80, hidden]
        logits = self.scale.exp() * self.turn(embeddings) @ names.T + self.bias  # [b, 49, 80]
        boxes = F.binary_cross_entropy_with_logits(logits, targets, weight=known, reduction="sum")
        return boxes / known.sum().clamp_min(1.0) * 10


class CellNames(nn.Module):  # type: ignore[misc]
    """Loss of what a decoder made of each picture token, of the whole and of tiles, against the label under it.

    A class for every label and one for nothing; where several lie, each has its share. Questions name a few things of
    a picture, this names all of them: what a decoder that reads tiles must learn first. And the size of the thing under
    the token: to count things by their tokens, each token must know of how many it is one.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.names = nn.Linear(config.hidden, len(COCO) + 1)
        self.size = nn.Linear(config.hidden, 1)

    def forward(self, states: Tensor, views: list[View], shown: int, keep: Tensor | None) -> Tensor:
        """`states` [b, p, hidden] of a prefix that begins with the tokens `keep` (None: all) of `shown` views."""
        every = torch.arange(shown * IMAGE_TOKENS) if keep is None else keep[keep < shown * IMAGE_TOKENS]
        targets, weights = cell_targets(views, shown)
        targets, weights, sizes = targets[:, every], weights[:, every], cell_sizes(views, shown)[:, every]
        x = states[:, : len(every)]
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        losses = -(targets * self.names(x).log_softmax(dim=-1)).sum(dim=-1)  # [b, k]
        there = (sizes > 0).float()
        wrong = F.smooth_l1_loss(self.size(x)[..., 0], sizes.clamp_min(1.0).log(), reduction="none")
        named: Tensor = (losses * weights).sum() / weights.sum().clamp_min(1.0)
        return named + (wrong * there).sum() / there.sum().clamp_min(1.0)


def cell_sizes(views: list[View], shown: int) -> Tensor:
    """[b, shown * 51]: how many tokens the thing under each token covers, of the whole view or of all tiles together;
    of several things the smallest; 0 where none is.
    """
    sizes = torch.zeros(len(views), shown * IMAGE_TOKENS)
    for i, view in enumerate(views):
        if view["source"] in ("shapes", "imagenet"):
            continue
        for thing in view["objects"]:
            heat = torch.from_numpy(covered([thing["box"]], shown))
            for part in (slice(0, IMAGE_TOKENS), slice(IMAGE_TOKENS, None)):
                own, before = heat[part], sizes[i, part]
                smaller = (own > 0.5) & ((before == 0) | (before > own.sum()))
                sizes[i, part] = torch.where(smaller, own.sum(), before)
    return sizes


def cell_targets(views: list[View], shown: int) -> tuple[Tensor, Tensor]:
    """[b, shown * 51, 81] shares of the labels in each token's cell, the last for nothing; [b, shown * 51] weights."""
    targets = torch.zeros(len(views), shown * IMAGE_TOKENS, len(COCO) + 1)
    weights = torch.zeros(len(views), shown * IMAGE_TOKENS)
    cell = torch.arange(shown * IMAGE_TOKENS) % IMAGE_TOKENS < CELLS
    for i, view in enumerate(views):
        if view["source"] in ("shapes", "imagenet"):
            continue
        boxes: dict[str, list[list[float]]] = {}
        for thing in view["objects"]:
            boxes.setdefault(thing["label"], []).append(thing["box"])
        for label, own in boxes.items():
            targets[i, :, _INDEX[label]] = torch.from_numpy(covered(own, shown))
        there = targets[i].sum(dim=-1)
        targets[i, :, -1] = (1 - there).clamp_min(0.0)
        targets[i] /= targets[i].sum(dim=-1, keepdim=True)
        weights[i] = torch.where(there > 0.3, 1.0, NOTHING_WEIGHT) * cell
    return targets, weights


def grid_targets(views: list[View]) -> tuple[Tensor, Tensor]:
    """[b, 49, 80] float32: 1 where a token's cell lies in a box of the label; and 1 where that is known at all."""
    targets = torch.zeros(len(views), CELLS, len(COCO))
    known = torch.zeros(len(views), CELLS, len(COCO))
    for i, view in enumerate(views):
        if view["source"] in ("shapes", "imagenet"):
            continue
        known[i] = 1.0
        for label in view["unsure"]:
            known[i, :, _INDEX[label]] = 0.0
        grid = targets[i].view(GRID, GRID, len(COCO))
        for thing in view["objects"]:
            x0, y0, x1, y1 = (v * GRID for v in thing["box"])
            left, right = min(GRID - 1, int(x0 + 0.35)), max(int(x0 + 0.5) + 1, round(x1 + 0.1))
            top, bottom = min(GRID - 1, int(y0 + 0.35)), max(int(y0 + 0.5) + 1, round(y1 + 0.1))
            grid[top:bottom, left:right, _INDEX[thing["label"]]] = 1.0
    return targets, known
