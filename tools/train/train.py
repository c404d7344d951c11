"""Trains the connector with the edge decoder, then the cloud decoder behind the same connector.

`python -m tools.train.train edge --minutes 40` and then `python -m tools.train.train cloud --minutes 25`. Both write a
checkpoint every few minutes and go on from it with `--resume`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.backbone import Backbone
from tools.train.features import load_cache
from tools.train.grounding import Grounding, grid_targets
from tools.train.labels import imagenet_names
from tools.train.model import Connector, Decoder, grow, int8_noise
from tools.train.pack import Batch, Batches, Packer
from tools.train.settings import IMAGE_TOKENS, ModelConfig, Paths, default_paths
from tools.train.text import build_tokenizer
from tools.train.views import View

SHARES = {
    "coco": 0.30,
    "flickr": 0.10,
    "daquar": 0.10,
    "imagenet": 0.13,
    "mosaic": 0.10,
    "pasted": 0.18,
    "shapes": 0.09,
}
BATCH, LENGTH = 16, 144
CHECKPOINT_S = 150.0


def answer_loss(decoder: Decoder, image: Tensor, batch: Batch) -> Tensor:
    """Weighted mean cross-entropy over the answer tokens of the batch; `image` [b, 49, hidden]."""
    b = len(batch.ids)
    x = torch.cat((image, decoder.embed(batch.ids)), dim=1)
    positions = torch.cat((torch.arange(IMAGE_TOKENS).expand(b, -1), batch.positions), dim=1)
    hidden, _ = decoder.run(x, positions, batch.mask)
    wanted = batch.targets >= 0
    logits = decoder.logits(hidden[:, IMAGE_TOKENS:][wanted])
    losses = F.cross_entropy(logits, batch.targets[wanted], reduction="none")
    weights = batch.weights[wanted]
    return (losses * weights).sum() / weights.sum().clamp_min(1.0)


def class_guesses(features: NDArray[np.float16], backbone: Backbone) -> list[list[tuple[int, float]]]:
    """The most likely ImageNet class of each view, from the backbone's own head."""
    found: list[list[tuple[int, float]]] = []
    with torch.no_grad():
        for start in range(0, len(features), 256):
            part = torch.from_numpy(features[start : start + 256].astype(np.float32))
            best = torch.softmax(backbone.classify(part), dim=-1).max(dim=-1)
            found += [[(int(i), float(p))] for i, p in zip(best.indices, best.values, strict=True)]
    return found


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
            self.shadow[name].lerp_(value.detach(), 1 - keep)


class Run:
    """One training run: model, optimiser, batches and clock. `which` is edge or cloud."""

    def __init__(self, which: str, paths: Paths, layers: int, top_lr: float, seed: int) -> None:
        self.which, self.paths, self.top_lr = which, paths, top_lr
        self.views, features = load_cache(paths)
        tokenizer = load_tokenizer(paths, self.views)
        names, backbone = imagenet_names(), Backbone()
        packer = Packer(tokenizer)
        self.batches = Batches(self.views, features, class_guesses(features, backbone), packer, names, SHARES, seed)
        self.config = ModelConfig(vocab=tokenizer.get_vocab_size(), layers=layers)
        self.model = nn.ModuleDict({"connector": Connector(self.config)})
        fc = backbone.net._fc
        if which == "edge":
            self.model["decoder"] = Decoder(self.config)
            self.model["grounding"] = Grounding(self.config, tokenizer, names, fc.weight.data, fc.bias.data)
        else:
            edge = load_checkpoint(paths.work / "edge.pt")
            small = Decoder(ModelConfig(**edge["config"]))
            small.load_state_dict(sub_state(edge["average"], "decoder."))
            self.model["decoder"] = grow(small, self.config)
            self.model["connector"].load_state_dict(sub_state(edge["average"], "connector."))
            self.model["connector"].requires_grad_(False)
            self.model["decoder"].words.requires_grad_(False)  # shared by the members of an ensemble
        matrices = [p for p in self.model.parameters() if p.requires_grad and p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.requires_grad and p.ndim < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
            lr=top_lr,
            betas=(0.9, 0.98),
        )
        self.average = Average(self.model)
        self.step, self.spent_s = 0, 0.0

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
        connector, decoder = self.model["connector"], self.model["decoder"]
        image = connector(batch.features)
        assert isinstance(decoder, Decoder)
        made = {"answer": answer_loss(decoder, int8_noise(image), batch)}
        if self.which == "edge":
            targets, known = grid_targets([self.views[r] for r in batch.rows])
            made["boxes"], made["classes"] = self.model["grounding"](
                image, batch.features, decoder.words.weight, targets, known
            )
        return made

    def train_step(self, done: float) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(done, self.top_lr)
        losses = self.losses(self.batches.make(BATCH, LENGTH))
        aux = 0.3 * (1 - 0.7 * done)
        total = losses["answer"] + aux * sum((v for k, v in losses.items() if k != "answer"), torch.zeros(()))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.model)
        self.step += 1
        return {k: float(v.detach()) for k, v in losses.items()}

    def train(self, minutes: float) -> None:
        """Trains until `minutes` have been spent in all, earlier runs included."""
        self.model.train()
        started, before, saved = time.monotonic(), self.spent_s, time.monotonic()
        mean: dict[str, float] = {}
        while self.spent_s < minutes * 60:
            for name, value in self.train_step(self.spent_s / (minutes * 60)).items():
                mean[name] = value if name not in mean else 0.98 * mean[name] + 0.02 * value
            self.spent_s = before + time.monotonic() - started
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


def load_checkpoint(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def sub_state(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("edge", "cloud"))
    parser.add_argument("--minutes", type=float, required=True, help="training time in all")
    parser.add_argument("--layers", type=int, default=0, help="default: 2 for edge, 6 for cloud")
    parser.add_argument("--lr", type=float, default=0.0, help="default: 0.002 for edge, 0.001 for cloud")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    torch.manual_seed(wanted.seed)
    edge = wanted.which == "edge"
    run = Run(
        wanted.which,
        default_paths(),
        wanted.layers or (2 if edge else 6),
        wanted.lr or (2e-3 if edge else 1e-3),
        wanted.seed,
    )
    if wanted.resume and run.checkpoint.exists():
        run.resume()
    run.train(wanted.minutes)


if __name__ == "__main__":
    main()
