"""A training run in miniature on made-up pictures and sounds, in seconds: `python -m tools.train.smoke`.

"Pictures" are noise with one direction of feature space raised for each of four colours, "sounds" are one vector for
each of two noises; the questions are which colour it is, what this is called (by a class head that knows the colours by
other names) and what is heard. The loss must fall and the answers must follow picture, name and sound, with tiles and
without, or a path has a bug.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from edge_agent.types import F32
from tools.train.batches import Batch
from tools.train.eyes import Eyes, name_pieces, prefix_positions
from tools.train.losses import answer_loss, some_tokens
from tools.train.model import Decoder, grow
from tools.train.pack import Packer, attention_mask
from tools.train.questions import Question
from tools.train.settings import BACKBONE_WIDTH, CELLS, IMAGE_TOKENS, TEXT_POSITION, VIEWS, ModelConfig
from tools.train.text import ASK, REPLY, SPECIAL

COLOURS = ("red", "green", "blue", "black")
NAMES = ("ruby", "emerald stone", "sapphire", "jet")
NOISES = ("rain", "dog")
SOUND_TOKENS = 3
QUESTIONS = ("what colour is it ?", "what is this ?", "what do you hear ?")


def tiny_tokenizer() -> Tokenizer:
    text = " ".join((*QUESTIONS, *COLOURS, *NAMES, *NOISES)).split()
    words = dict.fromkeys([*SPECIAL, *text])
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def class_head() -> nn.Linear:
    """A class head that knows the four colours by sight."""
    head = nn.Linear(BACKBONE_WIDTH, len(COLOURS))
    nn.init.zeros_(head.bias)
    nn.init.zeros_(head.weight)
    for colour in range(len(COLOURS)):
        head.weight.data[colour, colour * 300 : colour * 300 + 100] = 0.05
    return head


def pictures(count: int, views: int, rng: np.random.Generator) -> tuple[F32, list[int]]:
    """[count, views, 49, 1280] float32 features and the number of the colour that each shows."""
    colours = [int(c) for c in rng.integers(0, len(COLOURS), count)]
    features = rng.random((count, views, CELLS, BACKBONE_WIDTH), dtype=np.float32)
    for i, colour in enumerate(colours):
        features[i, :, :, colour * 300 : colour * 300 + 100] += 2.0
    return features, colours


def make_batch(count: int, views: int, hidden: int, packer: Packer, rng: np.random.Generator) -> tuple[Batch, Tensor]:
    """A batch, and the ids of the right first word for each picture and question [count, 3]."""
    features, colours = pictures(count, views, rng)
    noises = [int(n) for n in rng.integers(0, len(NOISES), count)]
    answers = [(COLOURS[c], NAMES[c], NOISES[n]) for c, n in zip(colours, noises, strict=True)]
    rows = [
        packer.row([Question(q, a, "smoke") for q, a in zip(QUESTIONS, told, strict=True)], 40, random.Random(0))
        for told in answers
    ]
    packed = torch.from_numpy(np.stack(rows))
    ids, targets, positions, segments = (packed[:, i].long() for i in range(4))
    sound = torch.zeros(count, SOUND_TOKENS, hidden)
    for i, noise in enumerate(noises):
        sound[i, :, noise::2] = 1.0
    seen = torch.ones(count, views * IMAGE_TOKENS + SOUND_TOKENS, dtype=torch.bool)
    pretend = torch.full((count,), -1)
    batch = Batch(
        torch.from_numpy(features),
        pretend,
        sound,
        seen,
        ids,
        targets,
        positions,
        segments,
        packed[:, 4].float(),
        list(range(count)),
    )
    return batch, torch.tensor([[packer.encode(word)[0] for word in told] for told in answers])


def loss_of(eyes: Eyes, decoder: Decoder, batch: Batch, share: float | None) -> Tensor:
    views = batch.features.shape[1]
    prefix = torch.cat((eyes(batch.features, decoder.words_weight(), batch.pretend), batch.sound), dim=1)
    keep = some_tokens(views, SOUND_TOKENS, share) if share is not None else None
    return answer_loss(decoder, prefix, prefix_positions(views, SOUND_TOKENS), batch, keep)


def accuracy(eyes: Eyes, decoder: Decoder, batch: Batch, wanted: Tensor, packer: Packer) -> list[float]:
    """Share of pictures whose right answer begins with the most likely next word, a question each."""
    found = []
    for i, question in enumerate(QUESTIONS):
        ids = torch.tensor([[ASK, *packer.encode(question), REPLY]]).expand(len(batch.ids), -1)
        with torch.no_grad():
            image = eyes(batch.features, decoder.words_weight())
            x = torch.cat((image, batch.sound, decoder.embed(ids)), dim=1)
            where = prefix_positions(batch.features.shape[1], SOUND_TOKENS)
            where = torch.cat((where, TEXT_POSITION + torch.arange(ids.shape[1])))
            mask = attention_mask(torch.ones_like(ids), batch.seen)
            hidden, _ = decoder.run(x, where.expand(len(ids), -1), mask)
            best = decoder.logits(hidden[:, -1]).argmax(-1)
        found.append(round(float((best == wanted[:, i]).float().mean()), 3))
    return found


def run(steps: int = 60) -> dict[str, float | list[float]]:
    """Trains for `steps`; gives first and last loss, accuracy by question on new pictures without and with tiles, and
    how growing changes the loss.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    tokenizer = tiny_tokenizer()
    packer = Packer(tokenizer)
    config = ModelConfig(vocab=tokenizer.get_vocab_size(), hidden=48, heads=4, mlp=96, connector=64, dropout=0.0)
    eyes, decoder = Eyes(config, class_head(), name_pieces(tokenizer, NAMES)), Decoder(config)
    weights = [p for p in (*eyes.parameters(), *decoder.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=5e-3)
    losses = []
    for step in range(steps):
        views = VIEWS if step % 2 else 1
        batch, _ = make_batch(8, views, config.hidden, packer, rng)
        loss = loss_of(eyes, decoder, batch, 0.3 if views > 1 else None)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    large = grow(decoder, replace(config, layers=6))
    batch, wanted = make_batch(32, 1, config.hidden, packer, rng)
    tiled, wanted_tiled = make_batch(32, VIEWS, config.hidden, packer, rng)
    with torch.no_grad():
        change = float((loss_of(eyes, large, batch, None) - loss_of(eyes, decoder, batch, None)).abs())
    return {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "accuracy": accuracy(eyes, decoder, batch, wanted, packer),
        "accuracy_with_tiles": accuracy(eyes, decoder, tiled, wanted_tiled, packer),
        "grown_change": change,
    }


if __name__ == "__main__":
    print(json.dumps(run()))
