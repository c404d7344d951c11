"""Trains the head of the ears on cached features: cross-validated, then once for good on folds 1 to 4.

python -m tools.train.sound_train [--check]      # --check: cross-validation alone
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.train.settings import default_paths
from tools.train.sound_clips import CLASSES, EVENTS, HELD_OUT_FOLD, SILENCE, SPEECH
from tools.train.sound_features import Cache
from tools.train.sound_model import TIME_TOKENS, Head

SMOOTHING = 0.05
TOKEN_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a head is trained; chosen by cross-validation within folds 1 to 4."""

    epochs: int = 60
    rate: float = 2e-3
    decay: float = 0.05
    dropout: float = 0.4
    batch: int = 64


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy [b, classes] against soft targets, smoothed."""
    smooth = targets * (1 - SMOOTHING) + SMOOTHING / targets.shape[-1]
    return -(F.log_softmax(logits, dim=-1) * smooth).sum(-1).mean()


def train_head(cache: Cache, rows: Tensor, recipe: Recipe, seed: int = 0) -> Head:
    """A head trained on the clips `rows` alone."""
    torch.manual_seed(seed)
    head = Head(recipe.dropout)
    head.standardise(cache.clean[rows].float())
    steps = recipe.epochs * math.ceil(len(rows) / recipe.batch)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps, pct_start=0.1)
    head.train()
    for _ in range(recipe.epochs):
        for chosen in rows[torch.randperm(len(rows))].split(recipe.batch):
            copy = torch.randint(len(cache.copies), (len(chosen),))
            logits, tokens = head(cache.copies[copy, chosen].float())
            targets = cache.targets[copy, chosen]
            parts = head.read_token(tokens[:, -TIME_TOKENS:]).mean(1)
            loss = soft_loss(logits, targets)
            loss = loss + TOKEN_WEIGHT * (soft_loss(parts, targets) + soft_loss(head.read_token(tokens[:, 1]), targets))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    head.eval()
    return head


def predicted(head: Head, cache: Cache, rows: Tensor) -> Tensor:
    """[rows] int64: the most likely class of each clip as it is."""
    with torch.no_grad():
        logits, _ = head(cache.clean[rows].float())
    best: Tensor = logits.argmax(-1)
    return best


def interval(right: list[bool], sources: list[str], draws: int = 2000) -> tuple[float, float, float]:
    """Accuracy in percent with its 95 % interval, by bootstrap over recordings (clips of one are not independent)."""
    groups: dict[str, list[bool]] = {}
    for ok, source in zip(right, sources, strict=True):
        groups.setdefault(source, []).append(ok)
    counts = torch.tensor([[sum(g), len(g)] for g in groups.values()], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = counts[torch.randint(len(counts), (draws, len(counts)), generator=generator)].sum(1)
    shares = (drawn[:, 0] / drawn[:, 1]).sort().values
    low, high = shares[int(0.025 * draws)], shares[int(0.975 * draws) - 1]
    return tuple(round(100 * float(v), 1) for v in (counts[:, 0].sum() / counts[:, 1].sum(), low, high))  # type: ignore[return-value]


def report(cache: Cache, rows: Tensor, best: Tensor, what: str) -> dict[str, object]:
    """Accuracy on events, speech and silence apart, and every confusion."""
    made: dict[str, object] = {"what": what}
    labels = cache.labels[rows]
    for name, chosen in (("events", labels < EVENTS), ("speech", labels == SPEECH), ("silence", labels == SILENCE)):
        if chosen.any():
            right = (best == labels)[chosen].tolist()
            sources = [cache.sources[i] for i in rows[chosen].tolist()]
            accuracy, low, high = interval(right, sources)
            made[name] = {
                "clips": len(right),
                "recordings": len(set(sources)),
                "accuracy": accuracy,
                "low": low,
                "high": high,
            }
    wrong = torch.nonzero(best != labels)[:, 0].tolist()
    made["wrong"] = [f"{cache.names[int(rows[i])]} -> {CLASSES[int(best[i])]}" for i in wrong]
    return made


def cross_validated(cache: Cache, folds: tuple[int, ...], recipe: Recipe, seed: int = 0) -> dict[str, object]:
    """Each of `folds` heard by a head that was trained on the others of them."""
    within = torch.isin(cache.folds, torch.tensor(folds))
    rows, best = [], []
    for fold in folds:
        head = train_head(cache, torch.nonzero(within & (cache.folds != fold))[:, 0], recipe, seed)
        rows.append(torch.nonzero(cache.folds == fold)[:, 0])
        best.append(predicted(head, cache, rows[-1]))
    return report(cache, torch.cat(rows), torch.cat(best), f"cross-validated over folds {folds}") | {
        "recipe": asdict(recipe)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="cross-validate within folds 1 to 4 only")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = vars(parser.parse_args())
    check = options.pop("check")
    torch.set_num_threads(1)
    paths, recipe = default_paths(), Recipe(**options)
    cache = Cache.load(paths)
    if check:
        print(json.dumps(cross_validated(cache, (1, 2, 3, 4), recipe)))
        return
    print(json.dumps(cross_validated(cache, (1, 2, 3, 4, 5), recipe)))
    head = train_head(cache, torch.nonzero(cache.folds != HELD_OUT_FOLD)[:, 0], recipe)
    rows = torch.nonzero(cache.folds == HELD_OUT_FOLD)[:, 0]
    print(json.dumps(report(cache, rows, predicted(head, cache, rows), f"fold {HELD_OUT_FOLD}, never trained on")))
    torch.save(head.state_dict(), paths.work / "sound" / "head.pt")


if __name__ == "__main__":
    main()
