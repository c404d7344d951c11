"""Tunes how the ears speak: their tokens, through both frozen decoders, so that what was heard is also said.

    python -m tools.train.sound_tune --steps 120

Decoders taught little about sound answer worse than the ears hear. What the ears hear (trunk, frames, classes)
and the decoders stay as they are; the name directions and the two projections into tokens learn, on training clips
alone, to make both decoders say the answer. `sound_export` then writes the tuned ears.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.model import Decoder, Ensemble
from tools.train.settings import AUDIO_POSITION, TEXT_POSITION, default_paths
from tools.train.sound_clips import CLASSES, EVENTS, HELD_OUT_FOLD
from tools.train.sound_features import Cache
from tools.train.sound_model import AUDIO_TOKENS, Head
from tools.train.sounds import HEARD
from tools.train.text import ASK, EOS, PAD, REPLY
from tools.train.trained import load_trained

HEAR = "what do you hear?"
OTHERS = ("what do i hear?", "what is this sound?", "what sound is this?", "what sound is that?", "what can you hear?")
BATCH, NOISE, STAY = 32, 0.3, 0.1
Asked = tuple[str, str]


def question(label: str, rng: random.Random) -> Asked:
    """Mostly what is heard; sometimes whether one thing is."""
    kind = rng.random()
    if kind < 0.6 or (label == "silence" and kind < 0.8):
        return (HEAR if rng.random() < 0.4 else rng.choice(OTHERS)), HEARD[label][0]
    if kind < 0.8:
        other = rng.choice([name for name in HEARD if name not in (label, "silence")])
        return f"do you hear {HEARD[other][1]}?", "no"
    return f"can you hear {HEARD[label][1]}?", "yes"


def texts(asked: list[Asked], tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Ids [b, t] and targets [b, t]: what comes next where an answer is to be given, else -100."""
    rows = []
    for text, answer in asked:
        before = [ASK, *tokenizer.encode(text, add_special_tokens=False).ids]
        after = [*tokenizer.encode(answer, add_special_tokens=False).ids, EOS]
        rows.append(([*before, REPLY, *after], [-100] * len(before) + after + [-100]))
    longest = max(len(ids) for ids, _ in rows)
    ids, targets = torch.full((len(rows), longest), PAD), torch.full((len(rows), longest), -100)
    for i, (row, wanted) in enumerate(rows):
        ids[i, : len(row)], targets[i, : len(wanted)] = torch.tensor(row), torch.tensor(wanted)
    return ids, targets


def said(decoder: Decoder | Ensemble, tokens: Tensor, ids: Tensor) -> Tensor:
    """Last hidden states [b, t, hidden] of the text behind sound tokens [b, A, hidden]."""
    x = torch.cat((tokens, decoder.embed(ids)), dim=1)
    b, n, _ = x.shape
    positions = torch.cat((AUDIO_POSITION + torch.arange(AUDIO_TOKENS), TEXT_POSITION + torch.arange(ids.shape[1])))
    mask = torch.ones(n, n, dtype=torch.bool).tril().expand(b, 1, n, n)
    hidden, _ = decoder.run(x, positions.expand(b, -1), mask)
    return hidden[:, AUDIO_TOKENS:]


class Tuning:
    """The head being tuned, a copy of it as it was, and the decoders that listen."""

    def __init__(self, head: Head, decoders: dict[str, Decoder | Ensemble], cache: Cache, tokenizer: Tokenizer) -> None:
        head.names = nn.Parameter(head.names.clone())
        self.head, self.decoders, self.cache, self.tokenizer = head, decoders, cache, tokenizer
        self.before = copy.deepcopy(head).requires_grad_(False)
        self.rows = [torch.nonzero((cache.labels == c) & (cache.folds != HELD_OUT_FOLD))[:, 0] for c in range(12)]
        self.rng = random.Random(0)

    def heard(self) -> tuple[Tensor, Tensor]:
        """Rows [b] of the cache, each class as often, and features [b, 112, 4, 15]; mixed copies are left out."""
        cache = self.cache
        rows = torch.stack([self.rng.choice(list(self.rng.choice(self.rows))) for _ in range(BATCH)])
        which = torch.randint(len(cache.copies), (BATCH,))
        mixed = cache.targets[which, rows].amax(-1) < 0.75
        plain = (mixed | (torch.rand(BATCH) < 0.3))[:, None, None, None]
        return rows, torch.where(plain, cache.clean[rows], cache.copies[which, rows]).float()

    def loss(self) -> Tensor:
        rows, features = self.heard()
        tokens: Tensor = self.head(features)[1]
        asked = [question(CLASSES[int(self.cache.labels[row])], self.rng) for row in rows]
        ids, targets = texts(asked, self.tokenizer)
        answers = targets >= 0
        total = STAY * (tokens - self.before(features)[1]).pow(2).mean()
        for decoder in self.decoders.values():
            hidden = said(decoder, tokens + torch.randn_like(tokens) * NOISE, ids)
            total = total + F.cross_entropy(decoder.logits(hidden[answers]), targets[answers])
        return total

    def accuracy(self) -> dict[str, float]:
        """Percent of the held-out events that each decoder names in full."""
        rows = torch.nonzero((self.cache.folds == HELD_OUT_FOLD) & (self.cache.labels < EVENTS))[:, 0]
        ids, targets = texts([(HEAR, HEARD[CLASSES[int(self.cache.labels[r])]][0]) for r in rows], self.tokenizer)
        made = {}
        with torch.no_grad():
            tokens = self.head(self.cache.clean[rows].float())[1]
            for name, decoder in self.decoders.items():
                best = decoder.logits(said(decoder, tokens, ids)).argmax(-1)
                right = ((best == targets) | (targets < 0)).all(dim=1)
                made[name] = round(100 * float(right.float().mean()), 1)
        return made


def tune(tuning: Tuning, steps: int, rate: float = 1.5e-3) -> None:
    """Moves the name directions (30 times as fast, they are that much larger) and the projections."""
    head = tuning.head
    groups = [
        {"params": [head.names], "lr": 30 * rate},
        {"params": [*head.clip_token.parameters(), *head.time_token.parameters()], "lr": rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    tops = [float(group["lr"]) for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, tops, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        loss = tuning.loss()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=120)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    torch.manual_seed(0)
    paths = default_paths()
    decoders = {name: load_trained(paths.work / f"{name}.pt").decoder for name in ("edge", "cloud")}
    for decoder in decoders.values():
        decoder.requires_grad_(False)
    head, path = Head(), Path(paths.work / "sound" / "head.pt")
    head.load_state_dict(torch.load(path, weights_only=True))
    head.eval()
    tuning = Tuning(head, decoders, Cache.load(paths), Tokenizer.from_file(str(paths.tokenizer)))
    print(json.dumps({"held_out_before": tuning.accuracy()}))
    tune(tuning, steps)
    print(json.dumps({"held_out_after": tuning.accuracy()}))
    torch.save(head.state_dict(), path.with_name("head-tuned.pt"))


if __name__ == "__main__":
    main()
