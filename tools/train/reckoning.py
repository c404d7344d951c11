"""Counts, compares and relates named things from the tokens of the tiles: parts that are too small to know crops.

Heads with room for it learn the two thousand crops instead of counting. So each step here is told what it is: where
straight borders cross the picture (a small convolution), which tokens belong together (no border between them), which
label a segment shows (one linear map, behind connectors that had not seen the photo), how much likelier it is here than
anywhere, and from that, with a handful of further weights, how many there are. Nothing of it is told the layout.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.labels import COCO
from tools.train.settings import GRID, IMAGE_TOKENS, TILE_COLUMNS, TILE_OVERLAP, TILE_ROWS

SIDE = GRID * TILE_COLUMNS
SPOTS = SIDE * SIDE
MOST = 9
_TURNS = 16
"""Points on the circle by which a product of polynomials is taken apart; more than any number of things told apart."""
_SHARP = 8.0
_BOUND = 8.0
_LEAST = 1e-4
assert TILE_ROWS == TILE_COLUMNS


def middles() -> Tensor:
    """[14] where the columns (or rows) of the tiles' tokens lie, 0..1, from left to right."""
    wide = 1 / (TILE_COLUMNS - (TILE_COLUMNS - 1) * TILE_OVERLAP)
    starts = [tile * (1 - wide) / (TILE_COLUMNS - 1) for tile in range(TILE_COLUMNS)]
    return torch.tensor([start + (at + 0.5) / GRID * wide for start in starts for at in range(GRID)])


def spots() -> Tensor:
    """[196] int64: the positions at which a decoder reads the tiles' tokens, row by row over the whole picture."""
    at = np.arange(SIDE)
    tile = (at[:, None] // GRID) * TILE_COLUMNS + at[None] // GRID
    cell = (at[:, None] % GRID) * GRID + at[None] % GRID
    return torch.from_numpy(((1 + tile) * IMAGE_TOKENS + cell).ravel().astype(np.int64))


class Lines(nn.Module):  # type: ignore[misc]
    """Where straight borders cross the picture: [k, 14, 14, hidden] to logits of the 13 gaps across and down."""

    def __init__(self, hidden: int, narrow: int = 24, wide: int = 32, told: int = 12) -> None:
        super().__init__()
        self.down = nn.Conv2d(hidden, narrow, 1)
        self.hor = nn.Conv2d(narrow, wide, (3, 4), padding=(1, 1))
        self.ver = nn.Conv2d(narrow, wide, (4, 3), padding=(1, 1))
        self.h1 = nn.Conv1d(wide, told, 5, padding=2)
        self.v1 = nn.Conv1d(wide, told, 5, padding=2)
        self.h2, self.v2 = nn.Conv1d(told, 1, 1), nn.Conv1d(told, 1, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.drop(self.down(tokens.permute(0, 3, 1, 2)))  # [k, narrow, 14, 14]
        across = self.drop(F.gelu(self.hor(x)).mean(2))  # [k, wide, 13]
        down = self.drop(F.gelu(self.ver(x)).mean(3))
        return self.h2(F.gelu(self.h1(across)))[:, 0], self.v2(F.gelu(self.v1(down)))[:, 0]


class Segments(NamedTuple):
    """`together` [k, 196, 196] 0..1, which tokens share a segment; `share` [k, 196] of its segment each token is;
    `odds` [k, 196, 80]: how much likelier a label is in a token's segment than in any, logarithm of the ratio of odds;
    `lined` [k]: whether the picture is divided both ways at all, 0..1.
    """

    together: Tensor
    share: Tensor
    odds: Tensor
    lined: Tensor


class Reckoning(nn.Module):  # type: ignore[misc]
    """The arithmetic behind `Lines` and one linear map to labels."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lines = Lines(hidden)
        self.label = nn.Linear(hidden, len(COCO))
        self.usual = nn.Parameter(torch.zeros(len(COCO)))  # log-odds of each label in any segment
        self.gain, self.bias = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.0))
        self.flat = nn.Parameter(torch.tensor(0.5))
        self.number = nn.Parameter(torch.zeros(MOST + 1))
        self.prior = nn.Parameter(torch.zeros(MOST + 1))
        self.trust = nn.Parameter(torch.tensor(2.0))
        centres = middles()
        gaps = torch.diff(centres)
        sides = torch.cat((gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:])) / gaps[0]
        turns = 2 * math.pi * (torch.arange(_TURNS) + 0.5) / _TURNS  # never where a power has two values
        back = torch.arange(MOST + 1)[:, None] * turns
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        for name, value in (
            ("area", torch.outer(sides, sides).flatten()),
            ("cos", turns.cos()),
            ("sin", turns.sin()),
            ("back_cos", back.cos() / _TURNS),
            ("back_sin", back.sin() / _TURNS),
            ("before_x", torch.tanh((x.flatten()[None] - x.flatten()[:, None]) / 0.08)),
            ("before_y", torch.tanh((y.flatten()[None] - y.flatten()[:, None]) / 0.08)),
        ):
            self.register_buffer(name, value, persistent=False)

    def together(self, across: Tensor, down: Tensor) -> Tensor:
        """Logits [k, 13] of the gaps to [k, 196, 196]: 1 without a border between, 0 beyond one."""
        steps = [F.pad(F.softplus(_SHARP * one).cumsum(1), (1, 0)) for one in (across, down)]
        x, y = ((one[:, :, None] - one[:, None]).abs() for one in steps)  # [k, 14, 14]
        apart = y[:, :, None, :, None] + x[:, None, :, None, :]  # [k, row, column, row, column]
        return torch.exp(-apart).reshape(-1, SPOTS, SPOTS)

    def segments(self, tokens: Tensor, labelled: Tensor | None = None) -> Segments:
        """`tokens` [k, 196, hidden]; `labelled` [k, 196, 80]: label logits from elsewhere."""
        across, down = self.lines(tokens.unflatten(1, (SIDE, SIDE)))
        lined = torch.sigmoid(_SHARP * across.amax(1)) * torch.sigmoid(_SHARP * down.amax(1))
        together = self.together(across, down)
        weighed = together * self.area
        size = weighed.sum(2)  # [k, 196]
        logits = self.label(tokens) if labelled is None else labelled
        odds = torch.softmax(weighed @ logits / size[..., None], dim=-1).clamp(_LEAST, 1 - _LEAST)
        return Segments(together, self.area / size, torch.log(odds) - torch.log(1 - odds) - self.usual, lined)

    def _sums(self, likely: Tensor, share: Tensor) -> Tensor:
        """Log of how probable 0..9 of the segments are, each with log-odds `likely` [k, 196]: the coefficients of
        the product of (1 - p + p z) to the power of `share`, from its values on the circle.
        """
        p = torch.sigmoid(likely)[..., None]
        real, imaginary = 1 - p + p * self.cos, p * self.sin  # [k, 196, 16]
        size = (0.5 * torch.log(real * real + imaginary * imaginary + 1e-9) * share[..., None]).sum(1)
        length = torch.sqrt(real * real + imaginary * imaginary + 1e-12)
        angle = (2 * torch.atan(imaginary / (length + real)) * share[..., None]).sum(1)  # [k, 16], by the half angle
        real, imaginary = size.exp() * angle.cos(), size.exp() * angle.sin()
        return torch.log((real @ self.back_cos.T + imaginary @ self.back_sin.T).clamp_min(1e-6))

    def evidence(self, odds: Tensor, share: Tensor) -> Tensor:
        """[k, 196] odds of one label and shares: what speaks for each number 0..9 of it, beyond mere chance."""
        chance = self._sums(self.bias.expand_as(share), share)
        return self.flat * (self._sums((self.gain * odds + self.bias).clamp(-_BOUND, _BOUND), share) - chance)

    def more(self, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        """Log-odds that there are more of the first than of the second, [k]."""
        one, two = (torch.softmax(self.evidence(odds, share) + self.prior, dim=-1) for odds in (first, second))
        both = one[:, :, None] * two[:, None]
        return torch.log(both.tril(-1).sum((1, 2)) + _LEAST) - torch.log(both.triu(1).sum((1, 2)) + _LEAST)

    def before(self, first: Tensor, second: Tensor, seen: Segments, order: Tensor) -> Tensor:
        """Log-odds that the first stands before the second by `order` [196, 196], [k]."""
        one, two = (torch.softmax(odds + torch.log(seen.share), dim=-1) for odds in (first, second))
        both = one[:, :, None] * two[:, None] * (1 - seen.together) * order
        yes, no = torch.relu(both).sum((1, 2)), torch.relu(-both).sum((1, 2))
        return torch.log(yes + _LEAST) - torch.log(no + _LEAST)

    def forward(
        self, tokens: Tensor, first: Tensor, second: Tensor, count: Tensor, more: Tensor, left: Tensor, above: Tensor
    ) -> Tensor:
        """`tokens` [k, 196, hidden] in the order of `spots`, and the fields of `Asked`: what to add to the logits
        of 0..9, yes and no, [k, 12].
        """
        seen = self.segments(tokens)
        one, two = ((seen.odds * label[:, None]).sum(-1) for label in (first, second))  # [k, 196]
        numbers = torch.log_softmax(self.evidence(one, seen.share) + self.number, dim=-1)
        numbers = (numbers - numbers.amax(dim=-1, keepdim=True)) * count[:, None]
        yes = more * self.more(one, two, seen.share)
        yes = yes + left * self.before(one, two, seen, self.before_x)
        yes = yes + above * self.before(one, two, seen, self.before_y)
        trust = self.trust * seen.lined[:, None]
        return torch.cat((numbers, yes[:, None] / 2, -yes[:, None] / 2), dim=-1) * trust
