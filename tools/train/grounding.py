"""The dense auxiliary loss: each image token must be near the words for what lies under it.

Two teachers: boxes (the 80 COCO labels, a yes or no a token) and the backbone's own class head applied token by token
(1000 ImageNet classes, a distribution a token). Both are compared through the decoder's word embeddings, so that
the eyes' output and the tongue's words share a space from the start.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.labels import COCO
from tools.train.settings import GRID, IMAGE_TOKENS, ModelConfig
from tools.train.views import View

_INDEX = {label: i for i, label in enumerate(COCO)}


class Grounding(nn.Module):  # type: ignore[misc]
    """Losses of [b, 49, hidden] embeddings against boxes and the class head."""

    def __init__(
        self, config: ModelConfig, tokenizer: Tokenizer, imagenet: list[str], head: Tensor, bias: Tensor
    ) -> None:
        super().__init__()
        names = [*COCO, *(name.lower() for name in imagenet)]
        ids = [tokenizer.encode(name, add_special_tokens=False).ids[:4] for name in names]
        self.register_buffer("ids", torch.tensor([row + [0] * (4 - len(row)) for row in ids]), persistent=False)
        self.register_buffer(
            "used", torch.tensor([[1.0] * len(row) + [0.0] * (4 - len(row)) for row in ids]), persistent=False
        )
        self.register_buffer("head", head, persistent=False)  # [1000, 1280]
        self.register_buffer("head_bias", bias, persistent=False)
        self.turn = nn.Linear(config.hidden, config.hidden, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.full((len(names),), -3.0))

    def forward(
        self, embeddings: Tensor, features: Tensor, words: Tensor, targets: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`words` [vocab, hidden]; `targets`, `known` [b, 49, 80]. Returns (box loss, class head loss)."""
        rows = words[self.ids] * self.used[..., None]
        names = F.normalize(rows.sum(1), dim=-1)  # [1080, hidden]
        logits = self.scale.exp() * self.turn(embeddings) @ names.T + self.bias  # [b, 49, 1080]
        boxes = F.binary_cross_entropy_with_logits(logits[..., : len(COCO)], targets, weight=known, reduction="sum")
        boxes = boxes / known.sum().clamp_min(1.0) * 10
        with torch.no_grad():
            teacher = torch.softmax((features @ self.head.T + self.head_bias) / 2.0, dim=-1)
        classes = F.cross_entropy(logits[..., len(COCO) :].flatten(0, 1), teacher.flatten(0, 1))
        return boxes, classes


def grid_targets(views: list[View]) -> tuple[Tensor, Tensor]:
    """[b, 49, 80] float32: 1 where a token's cell lies in a box of the label; and 1 where that is known at all."""
    targets = torch.zeros(len(views), IMAGE_TOKENS, len(COCO))
    known = torch.zeros(len(views), IMAGE_TOKENS, len(COCO))
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
