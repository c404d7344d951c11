"""A training run in miniature on made-up pictures, in seconds: `python -m tools.train.smoke`.

Eight "pictures" are noise with one direction of feature space raised for each of four colours; the question is which
colour it is. The loss must fall and the answers must follow the picture, or the image path has a bug.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from edge_agent.types import F32
from tools.train.model import Connector, Decoder, grow
from tools.train.pack import Batch, Packer, attention_mask
from tools.train.questions import Question
from tools.train.settings import BACKBONE_WIDTH, IMAGE_TOKENS, ModelConfig
from tools.train.text import ASK, REPLY, SPECIAL
from tools.train.train import answer_loss

COLOURS = ("red", "green", "blue", "black")


def tiny_tokenizer() -> Tokenizer:
    words = [*SPECIAL, "what", "colour", "is", "it", "?", *COLOURS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def pictures(count: int, rng: np.random.Generator) -> tuple[F32, list[int]]:
    """[count, 49, 1280] float32 features and the number of the colour that each shows."""
    colours = [int(c) for c in rng.integers(0, len(COLOURS), count)]
    features = rng.random((count, IMAGE_TOKENS, BACKBONE_WIDTH), dtype=np.float32)
    for i, colour in enumerate(colours):
        features[i, :, colour * 300 : colour * 300 + 100] += 2.0
    return features, colours


def make_batch(features: F32, colours: list[int], packer: Packer) -> Batch:
    rows = [
        packer.row([Question("what colour is it ?", COLOURS[c], "colour")] * 2, 24, random.Random(0)) for c in colours
    ]
    packed = torch.from_numpy(np.stack(rows))
    ids, targets, positions, segments = (packed[:, i].long() for i in range(4))
    seen = torch.ones(len(colours), IMAGE_TOKENS, dtype=torch.bool)
    mask = attention_mask(segments, seen)
    return Batch(torch.from_numpy(features), ids, targets, packed[:, 4].float(), positions, mask, [])


def accuracy(connector: Connector, decoder: Decoder, features: F32, colours: list[int], packer: Packer) -> float:
    """Share of pictures whose colour is the most likely next word after the question."""
    ids = torch.tensor([[ASK, *packer.encode("what colour is it ?"), REPLY]]).expand(len(colours), -1)
    with torch.no_grad():
        x = torch.cat((connector(torch.from_numpy(features)), decoder.embed(ids)), dim=1)
        mask = attention_mask(torch.ones_like(ids), torch.ones(len(colours), IMAGE_TOKENS, dtype=torch.bool))
        hidden, _ = decoder.run(x, torch.arange(x.shape[1]).expand(len(colours), -1), mask)
        best = decoder.logits(hidden[:, -1]).argmax(-1)
    wanted = torch.tensor([packer.encode(COLOURS[c])[0] for c in colours])
    return float((best == wanted).float().mean())


def run(steps: int = 50) -> dict[str, float]:
    """Trains for `steps`; gives first and last loss, accuracy on new pictures, and how growing changes the loss."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    packer = Packer(tiny_tokenizer())
    config = ModelConfig(
        vocab=len(SPECIAL) + 5 + len(COLOURS), hidden=48, heads=4, mlp=96, connector=64, context=96, dropout=0.0
    )
    connector, decoder = Connector(config), Decoder(config)
    optimiser = torch.optim.AdamW([*connector.parameters(), *decoder.parameters()], lr=5e-3)
    losses = []
    for _ in range(steps):
        batch = make_batch(*pictures(8, rng), packer)
        loss = answer_loss(decoder, connector(batch.features), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*connector.parameters(), *decoder.parameters()], 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    features, colours = pictures(32, rng)
    large = grow(decoder, replace(config, layers=6))
    batch = make_batch(features, colours, packer)
    with torch.no_grad():
        image = connector(batch.features)
        change = float((answer_loss(large, image, batch) - answer_loss(decoder, image, batch)).abs())
    return {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "accuracy": accuracy(connector, decoder, features, colours, packer),
        "grown_change": change,
    }


if __name__ == "__main__":
    print(json.dumps(run()))
