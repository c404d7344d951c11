"""Trains the eyes (connector, naming) with the edge decoder, then the cloud decoder behind the same eyes.

`python -m tools.train.train edge --minutes 40`, then `cloud` (reads tiles), then `control` (the edge's shape, trained
like the cloud: as many steps, the same tokens). Each writes a checkpoint every few minutes and goes on from it with
`--resume`.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from tools.train.backbone import Backbone
from tools.train.batches import Batch, Batches
from tools.train.checkpoints import load_checkpoint, read_decoder, sub_state
from tools.train.crops import View
from tools.train.eyes import Eyes, name_pieces, prefix_positions
from tools.train.features import Cache, class_guesses
from tools.train.grounding import CellNames, Grounding, grid_targets
from tools.train.labels import imagenet_names
from tools.train.losses import KEPT_TILE_TOKENS, answer_loss, some_tokens
from tools.train.model import Decoder, Look, grow, int8_noise, strange
from tools.train.pack import Packer
from tools.train.pointing import Pointing
from tools.train.settings import CELLS, IMAGE_TOKENS, ModelConfig, Paths, default_paths
from tools.train.sounds import Sounds
from tools.train.strangers import Strangers, read_strangers
from tools.train.text import build_tokenizer

SHARES = {
    "coco": 0.22,
    "flickr": 0.10,
    "daquar": 0.14,
    "imagenet": 0.12,
    "mosaic": 0.03,
    "pasted": 0.09,
    "grid": 0.22,
    "shapes": 0.08,
}
BATCH, LENGTH = {"edge": 16, "cloud": 8, "control": 8}, 160
CHECKPOINT_S = 150.0
LAYERS = {"edge": 4, "cloud": 5, "control": 4}
DROPOUT = {"edge": 0.0, "cloud": 0.1, "control": 0.1}
RATES = {"edge": 1.2e-3, "cloud": 1e-3, "control": 1e-3}
POINTING_SHARE = 0.3
"""How much the losses that show where to look count beside the answers."""
NAMING_SHARE = 0.4
"""How much the names of all cells count beside them, for a decoder that reads tiles."""


def learning_rate(done: float, top: float) -> float:
    """Warm-up over 2 % of the schedule, then a cosine down to 2 % of `top`; `done` 0..1."""
    if done < 0.02:
        return top * (0.05 + done / 0.02 * 0.95)
    return top * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class Average:
    """Exponential moving average of the weights: what is measured and shipped."""

    def __init__(self, module: nn.Module, keep: float = 0.999) -> None:
        self.keep, self.count = keep, 0
        self.shadow = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, module: nn.Module) -> None:
        self.count += 1
        keep = min(self.keep, (1 + self.count) / (10 + self.count))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.shadow[name].lerp_(value.detach(), 1 - keep)


class Run:
    """One training run: model, optimiser, batches and clock. `which` is edge, cloud or control."""

    def __init__(
        self,
        which: str,
        paths: Paths,
        top_lr: float,
        seed: int,
        shares: dict[str, float],
        keep_eyes: bool = False,
    ) -> None:
        self.which, self.paths, self.top_lr, self.rng = which, paths, top_lr, random.Random(seed)
        self.cache = Cache.load(paths)
        tokenizer = load_tokenizer(paths, self.cache.views)
        names, backbone = imagenet_names(), Backbone()
        self.config = ModelConfig(tokenizer.get_vocab_size(), layers=LAYERS[which], dropout=DROPOUT[which])
        sounds = Sounds.load(paths, self.config.hidden)
        top = class_guesses(self.cache, backbone, paths.work / "top.npy")
        self.batches = Batches(self.cache, top, Packer(tokenizer), names, shares, sounds, seed, tiles=which != "edge")
        eyes = Eyes(self.config, backbone.net._fc, name_pieces(tokenizer, names))
        self.model = nn.ModuleDict({"eyes": eyes})
        self.frozen = keep_eyes or which != "edge"
        if which == "edge":
            self.model["decoder"] = Decoder(self.config)
            self.model["grounding"] = Grounding(self.config, tokenizer)
        self.model["pointing"] = Pointing(self.config, tokenizer)
        if which != "edge":
            self.model["cells"] = CellNames(self.config)
            self._grow(load_checkpoint(paths.work / "edge.pt"))
        if self.frozen:  # the words too: the naming tokens are made of them, and an ensemble's members share them
            self.model["eyes"].requires_grad_(False)
            self.model["decoder"].words.requires_grad_(False)
        matrices = [p for p in self.model.parameters() if p.requires_grad and p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.requires_grad and p.ndim < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
            lr=top_lr,
            betas=(0.9, 0.98),
        )
        self.average = Average(self.model)
        self.step, self.spent_s = 0, 0.0
        self.strangers: Strangers | None = None

    def _grow(self, edge: dict[str, Any]) -> None:
        """A deeper decoder out of the edge's, behind the edge's eyes, which stay as they are."""
        small = read_decoder(edge["average"], ModelConfig(**edge["config"]))
        self.model["decoder"] = grow(small, self.config)
        for name in ("eyes", "pointing"):
            self.model[name].load_state_dict(sub_state(edge["average"], f"{name}."))

    def start_from(self, path: Path) -> None:
        """Takes over what fits of an earlier checkpoint's averaged weights, also of version 0.1 (without naming).

        An edge decoder of fewer layers is grown first.
        """
        state = load_checkpoint(path)
        old, config = state["average"], ModelConfig(**state["config"])
        if config.layers < self.config.layers:
            decoder = grow(read_decoder(old, config), self.config)
            old = {k: v for k, v in old.items() if not k.startswith("decoder.")}
            old |= {f"decoder.{k}": v for k, v in decoder.state_dict().items()}
        old = {
            k.replace("connector.", "eyes.connector.") if k.startswith("connector.") else k: v for k, v in old.items()
        }
        own = self.model.state_dict()
        for name, value in old.items():
            if name in own and not name.endswith("pieces"):
                rows = tuple(slice(size) for size in value.shape[:1])  # words added since stand behind the old ones
                own[name][rows] = value
        self.model.load_state_dict(own)
        self.average = Average(self.model)
        print(f"took {len(old.keys() & own.keys())} of {len(own)} tensors from {path}", file=sys.stderr)

    @property
    def checkpoint(self) -> Path:
        return self.paths.work / f"{self.which}.pt"

    def resume(self) -> None:
        state = load_checkpoint(self.checkpoint)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.shadow, self.average.count = state["average"], state["step"]
        self.step, self.spent_s = state["step"], state["spent_s"]

    def save(self) -> None:
        """Writes to a file beside it first, so that a stop half way leaves the old checkpoint whole."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.shadow,
            "optimiser": self.optimiser.state_dict(),
            "config": asdict(self.config),
            "step": self.step,
            "spent_s": self.spent_s,
        }
        torch.save(state, self.checkpoint.with_suffix(".tmp"))
        self.checkpoint.with_suffix(".tmp").replace(self.checkpoint)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        eyes, decoder = self.model["eyes"], self.model["decoder"]
        assert isinstance(decoder, Decoder)
        views, sounds = batch.features.shape[1], batch.sound.shape[1]
        shown = [self.cache.views[r] for r in batch.rows]
        with torch.set_grad_enabled(not self.frozen):
            image = eyes(batch.features, decoder.words.weight, batch.pretend)
        if self.strangers is not None:
            image.unflatten(1, (views, IMAGE_TOKENS))[:, :, :CELLS] = self.strangers(batch.features, shown)
        image = int8_noise(image)
        if self.which != "edge" and self.strangers is None:
            image = strange(image)
        prefix = torch.cat((image, batch.sound), dim=1)
        keep = some_tokens(views, sounds, self.rng.choice(KEPT_TILE_TOKENS)) if views > 1 else None
        looks: list[Look] = []
        made = {"answer": answer_loss(decoder, prefix, prefix_positions(views, sounds), batch, keep, looks)}
        if self.which == "edge" and not self.frozen:
            targets, known = grid_targets(shown)
            made["boxes"] = self.model["grounding"](image[:, :CELLS], decoder.words.weight, targets, known)
        if "cells" in self.model:
            before = looks[self.model["pointing"].finds - 1].state
            made["cells"] = NAMING_SHARE / POINTING_SHARE * self.model["cells"](before, shown, views, keep)
        there = batch.seen[:, :IMAGE_TOKENS].any(dim=1) & (batch.pretend < 0)
        about = [view if there[i] else None for i, view in enumerate(shown)]
        pointing = self.model["pointing"]
        assert isinstance(pointing, Pointing)
        told: dict[str, Tensor] = pointing(looks, about, batch.ids, views, keep)
        return made | told

    def train_step(self, done: float) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(done, self.top_lr)
        losses = self.losses(self.batches.make(BATCH[self.which], LENGTH))
        aux = POINTING_SHARE * (1 - 0.7 * done)
        total = losses["answer"] + aux * sum((v for k, v in losses.items() if k != "answer"), torch.zeros(()))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.model)
        self.step += 1
        return {k: float(v.detach()) for k, v in losses.items()}

    def train(self, minutes: float, steps: int = 0) -> None:
        """Trains until `minutes` of processor time have been spent or `steps` made in all, earlier runs included."""
        self.model.train()
        self.model["eyes"].train(not self.frozen)
        started, before, saved = time.process_time(), self.spent_s, time.monotonic()
        mean: dict[str, float] = {}
        while self.spent_s < minutes * 60 and not 0 < steps <= self.step:
            done = max(self.spent_s / (minutes * 60), self.step / steps if steps else 0.0)
            for name, value in self.train_step(done).items():
                mean[name] = value if name not in mean else 0.98 * mean[name] + 0.02 * value
            self.spent_s = before + time.process_time() - started
            if self.step % 50 == 0:
                told = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
                print(f"{self.which} step {self.step} {self.spent_s:.0f} s {told}", file=sys.stderr, flush=True)
            if time.monotonic() - saved > CHECKPOINT_S:
                self.save()
                saved = time.monotonic()
        self.save()


def load_tokenizer(paths: Paths, views: list[View]) -> Tokenizer:
    """The saved tokenizer, or a new one from the training views."""
    if not paths.tokenizer.exists():
        build_tokenizer(v for v in views if v["split"] == "train").save(str(paths.tokenizer))
    return Tokenizer.from_file(str(paths.tokenizer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=LAYERS)
    parser.add_argument("--minutes", type=float, required=True, help="processor time in all")
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps, if that is earlier")
    parser.add_argument("--lr", type=float, default=0.0, help="default: 0.0012 for edge, 0.001 for the others")
    parser.add_argument("--share", nargs="*", default=[], metavar="SOURCE=SHARE", help="how often a source is drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="checkpoint whose weights to begin with")
    parser.add_argument("--keep-eyes", action="store_true", help="leave the vision graph as it is")
    parser.add_argument("--strangers", action="store_true", help="read strangers.pt and show its tokens")
    parser.add_argument("--resume", action="store_true")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(wanted.seed)
    shares = {**SHARES, **{k: float(v) for k, v in (one.split("=") for one in wanted.share)}}
    run = Run(
        wanted.which,
        default_paths(),
        wanted.lr or RATES[wanted.which],
        wanted.seed,
        shares,
        wanted.keep_eyes,
    )
    if wanted.resume and run.checkpoint.exists():
        run.resume()
    elif wanted.start:
        run.start_from(wanted.start)
    if wanted.strangers:
        if not run.frozen:
            raise SystemExit("--strangers stands in for eyes that are not trained: add --keep-eyes")
        run.strangers = read_strangers(run.paths.work / "strangers.pt", run.config)
    run.train(wanted.minutes, wanted.steps)


if __name__ == "__main__":
    main()
