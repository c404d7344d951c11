"""The loss of the answers, and which tokens of the prefix a step reads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.train.batches import Batch
from tools.train.model import Decoder, Look
from tools.train.pack import attention_mask
from tools.train.settings import CELLS, IMAGE_TOKENS

KEPT_TILE_TOKENS = (0.4, 0.7, 1.0)
"""Which share of the tiles' tokens a step reads, one of these: fewer is faster, and teaches not to need all."""


def answer_loss(
    decoder: Decoder,
    prefix: Tensor,
    where: Tensor,
    batch: Batch,
    keep: Tensor | None = None,
    looks: list[Look] | None = None,
) -> Tensor:
    """Weighted mean cross-entropy over the answer tokens of the batch.

    `prefix` [b, p, hidden] at positions `where` [p]; of it only the tokens `keep` [k] are read, if given. What the
    layers looked at is appended to `looks`.
    """
    b, seen = len(batch.ids), batch.seen
    if keep is not None:
        prefix, where, seen = prefix[:, keep], where[keep], seen[:, keep]
    x = torch.cat((prefix, decoder.embed(batch.ids)), dim=1)
    positions = torch.cat((where.expand(b, -1), batch.positions), dim=1)
    hidden, _ = decoder.run(x, positions, attention_mask(batch.segments, seen), None, looks)
    wanted = batch.targets >= 0
    logits = decoder.logits(hidden[:, prefix.shape[1] :][wanted])
    losses = F.cross_entropy(logits, batch.targets[wanted], reduction="none")
    weights = batch.weights[wanted]
    return (losses * weights).sum() / weights.sum().clamp_min(1.0)


def some_tokens(views: int, sounds: int, share: float) -> Tensor:
    """Indices in the prefix: first view and sounds whole, names of all views, `share` of the tiles' other tokens."""
    picked = torch.rand(views, IMAGE_TOKENS) < share
    picked[0] = True
    picked[:, CELLS:] = True
    every = torch.cat((picked.flatten(), torch.ones(sounds, dtype=torch.bool)))
    return torch.nonzero(every)[:, 0]
