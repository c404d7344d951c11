"""A small decoder that reckons, and the tokenizer that its phrases need; for tests that have torch."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from tools.train.labels import COCO, SYNONYMS, plural
from tools.train.model import Decoder, Ensemble
from tools.train.reckoned import Reckoned
from tools.train.reckoning import Reckoning
from tools.train.settings import TEXT_POSITION, ModelConfig
from tools.train.text import ASK, REPLY, SPECIAL

PLACES = 260
"""Rows of a picture here: all positions of five views."""


def tokenizer() -> Tokenizer:
    names = [name for label in COCO for name in (label, *SYNONYMS.get(label, ()))]
    words = " ".join(word for name in names for word in (name, plural(name)))
    said = "how many count the are there do you see more fewer less than is left right of to above below ? . can in"
    said += " here visible red what yes no 0 1 2 3 4 5 6 7 8 9"
    known = dict.fromkeys([*SPECIAL, *said.split(), *words.split()])
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


TOKENIZER = tokenizer()
CONFIG = ModelConfig(vocab=TOKENIZER.get_vocab_size(), hidden=24, layers=2, heads=3, mlp=24)


def reckoned() -> Reckoned:
    torch.manual_seed(1)
    reckoning = Reckoning(CONFIG.hidden)
    with torch.no_grad():  # divided both ways, whatever is seen
        reckoning.lines.h2.bias.fill_(3.0)
        reckoning.lines.v2.bias.fill_(3.0)
        reckoning.label.weight.mul_(20)  # sure of what it sees, so that what it tells is not lost in rounding
    return Reckoned(Ensemble([Decoder(CONFIG)]), reckoning, CONFIG, TOKENIZER).eval()


def prompt(decoder: Reckoned, question: str, left_out: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, positions and mask of a picture and a question; without the last `left_out` rows of the picture."""
    torch.manual_seed(2)
    ids = torch.tensor([[ASK, *TOKENIZER.encode(question).ids, REPLY]])
    with torch.no_grad():
        x = torch.cat((torch.randn(1, PLACES, CONFIG.hidden)[:, : PLACES - left_out], decoder.embed(ids)), dim=1)
    positions = torch.cat((torch.arange(PLACES - left_out), TEXT_POSITION + torch.arange(ids.shape[1])))[None]
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()[None, None]
    return x, positions, mask
