"""Counts by adding up: a head whose attention does not share one out, but says of each token whether it belongs.

Softmax cannot count what it is unsure of: a token that matches well takes from one that matches less, and two half-seen
things look like one. Here each token gets a probability of its own, weighed by how small a part of its thing it is; the
sums, one over the whole view and one over its tiles, are told to the text as places on a scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.settings import TEXT_POSITION, ModelConfig

HEAD = 2
"""Whose keys and values of the layer it reads."""
SUMS = 2
SCALE = 10
WIDTH = 0.4
ABSENT_SHARE = 0.5
"""How much a thing that is not there weighs beside one that is."""


class Counter(nn.Module):  # type: ignore[misc]
    """Adds to the text's states what they count; at first nothing."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden, config.head_dim)
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.tensor(-2.0))
        self.part = nn.Linear(config.head_dim, SUMS)
        nn.init.constant_(self.part.bias, -3.5)
        self.told = nn.Linear(SUMS * SCALE, config.hidden, bias=False)
        nn.init.zeros_(self.told.weight)

    def forward(
        self, x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, past: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`x` [b, t, hidden]; keys and values `past` [b, heads, n, d] as the layer kept them; `mask` [b, 1, t, n].

        Gives the new `x`, scores [b, t, n] before the sigmoid, and sums [b, t, 2].
        """
        state = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        query = self.query(state)  # [b, t, d]
        half = query.shape[-1] // 2
        turned = torch.cat((-query[..., half:], query[..., :half]), dim=-1)
        query = query * cos[:, 0] + turned * sin[:, 0]
        key, value = past[0][:, HEAD], past[1][:, HEAD]  # [b, n, d]
        scores = query @ key.transpose(1, 2) * (self.gain / query.shape[-1] ** 0.5) + self.bias  # [b, t, n]
        belongs = torch.sigmoid(scores) * mask[:, 0].to(x.dtype)
        sums = belongs @ torch.exp(self.part(value).clamp(-8.0, 0.0))  # [b, t, 2]
        scale = torch.arange(SCALE, dtype=x.dtype)
        near = torch.exp(-((sums[..., None] - scale) / WIDTH).pow(2) / 2)  # [b, t, 2, 10]
        text = (positions >= TEXT_POSITION).to(x.dtype)[..., None]
        return x + text * self.told(near.flatten(2)), scores, sums


def counting_loss(scores: Tensor, sums: Tensor, heat: Tensor, number: Tensor, seen: Tensor, tile: Tensor) -> Tensor:
    """Of nouns: `scores` [n, k] of picture tokens, `sums` [n, 2], `heat` [n, k] share of each token under the things,
    `number` [n] of them, `seen` [n, k] bool, `tile` [k] bool.

    A token under a thing belongs, one beside it does not; tokens on the border are not asked. The first sum must be the
    number by the whole view, the second by the tiles, or 0 where those are not there.
    """
    sure = seen & ((heat > 0.6) | (heat < 0.1))
    belongs = F.binary_cross_entropy_with_logits(scores, (heat > 0.5).float(), reduction="none")
    weight = sure.float() / sure.sum(dim=1, keepdim=True).clamp_min(1)
    there = number > 0
    share = torch.where(there, 1.0, ABSENT_SHARE)
    tiled = (seen & tile).any(dim=1)
    wanted = torch.stack((number.float(), torch.where(tiled, number, 0).float()), dim=1)
    wrong = F.smooth_l1_loss(sums, wanted, reduction="none") / (1 + wanted).sqrt()
    each = 2 * (belongs * weight).sum(dim=1) + wrong.sum(dim=1)
    return (each * share).sum() / share.sum().clamp_min(1.0)
