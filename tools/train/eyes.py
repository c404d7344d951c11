"""From cached backbone features to the tokens that a decoder reads: connector, naming, tiles, positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from tools.train.model import Connector, Naming
from tools.train.settings import AUDIO_POSITION, IMAGE_TOKENS, NAME_TOKENS, ModelConfig
from tools.train.text import EOS


class Eyes(nn.Module):  # type: ignore[misc]
    """Connector and naming, which share their input: [b, v, 49, 1280] to [b, v * 51, hidden]."""

    def __init__(self, config: ModelConfig, head: nn.Linear, pieces: Tensor) -> None:
        super().__init__()
        self.connector = Connector(config)
        self.naming = Naming(config, head, pieces)

    def forward(self, features: Tensor, words: Tensor, pretend: Tensor | None = None) -> Tensor:
        """`words` [vocab, hidden]; `pretend` [b]: the class that the first view's head shall name, -1 for its own."""
        b, v = features.shape[:2]
        flat = features.flatten(0, 1)  # [b * v, 49, 1280]
        logits = self.naming.classify(flat)
        if pretend is not None:
            logits = raise_class(logits.view(b, v, -1), pretend).flatten(0, 1)
        named = self.naming.tokens(logits, self.naming.table(words))
        return torch.cat((self.connector(flat), named), dim=1).view(b, v * IMAGE_TOKENS, -1)


def raise_class(logits: Tensor, pretend: Tensor) -> Tensor:
    """Lifts one class of the first view 0.5 to 6 above all others; [b, v, classes]."""
    made = logits.clone()
    for i in torch.nonzero(pretend >= 0)[:, 0].tolist():
        made[i, 0, pretend[i]] = made[i, 0].amax() + 0.5 + 5.5 * torch.rand(())
    return made


def name_pieces(tokenizer: Tokenizer, names: Sequence[str]) -> Tensor:
    """[classes, 2] ids: the first two pieces of each class name; the end token where there is only one."""
    ids = [tokenizer.encode(name.lower(), add_special_tokens=False).ids for name in names]
    return torch.tensor([(row + [EOS] * NAME_TOKENS)[:NAME_TOKENS] for row in ids])


def prefix_positions(views: int, sounds: int) -> Tensor:
    """[views * 51 + sounds] int64: where the tokens of pictures and sound stand."""
    return torch.cat((torch.arange(views * IMAGE_TOKENS), AUDIO_POSITION + torch.arange(sounds)))
