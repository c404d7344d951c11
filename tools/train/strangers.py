"""Connectors that have not seen what they look at: what a decoder must be trained on to know how new photos look.

The shipped connector was taught the labels of two thousand crops and knows them: a probe on its tokens names 70 % of
other training crops and 55 % of held-out ones, one on the backbone's own features 44 % and 53 %. A decoder trained
behind it believes that things are easy to tell, and counts only what it can tell. Here the training photos are dealt
into folds. For each fold a connector is taught by the photos of the others alone to say what the shipped one says, and
shows the decoder the photos of its fold: in the same space, but as if they were new.

`python -m tools.train.strangers --steps 450` writes strangers.pt; then `train cloud --strangers`.
"""

from __future__ import annotations

import argparse
import random
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.crops import View
from tools.train.features import Cache
from tools.train.model import Connector
from tools.train.pointing import covered
from tools.train.settings import CELLS, IMAGE_TOKENS, VIEWS, ModelConfig, default_paths
from tools.train.trained import load_trained

FOLDS = 3
PICTURES = 8
"""Views that one step of the teaching looks at."""
TOP_RATE = 2e-3


def fold_of(path: str) -> int:
    """0..FOLDS-1, by the name of the photo, so that all its crops share a fold."""
    return zlib.crc32(Path(path).name.encode()) % FOLDS


def folds(view: View, shown: int) -> NDArray[np.int64]:
    """[shown, 49]: the fold of the photo under each cell; later parts of a view lie over earlier ones."""
    made = np.full((shown, CELLS), fold_of(view["parts"][0]["path"]), dtype=np.int64)
    for part in view["parts"][1:]:
        under = covered([part["at"]], shown).reshape(shown, IMAGE_TOKENS)[:, :CELLS]
        made[under > 0.5] = fold_of(part["path"])
    return made


class Strangers(nn.Module):  # type: ignore[misc]
    """One connector a fold."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.connectors = nn.ModuleList(Connector(config) for _ in range(FOLDS))

    def tokens(self, which: int, features: Tensor, cells: Tensor) -> Tensor:
        """What connector `which` makes of single cells: [n, 1280] at the places `cells` [n] to [n, hidden]."""
        one = self.connectors[which]
        assert isinstance(one, Connector)
        seen: Tensor = one.down(F.gelu(one.up(one.norm(features)))) + one.position[cells]
        y: Tensor = one.out(seen)
        return y

    def forward(self, features: Tensor, views: Sequence[View]) -> Tensor:
        """[b, v, 49, 1280] to [b, v, 49, hidden], each cell by the connector of its photo's fold."""
        b, v = features.shape[:2]
        fold = torch.from_numpy(np.stack([folds(view, v) for view in views])).flatten()  # [b * v * 49]
        cells, flat = torch.arange(CELLS).repeat(b * v), features.flatten(0, 2)
        made = flat.new_zeros(len(flat), self.connectors[0].position.shape[1])
        for which in range(FOLDS):
            own = fold == which
            made[own] = self.tokens(which, flat[own], cells[own])
        return made.view(b, v, CELLS, -1)


def read_strangers(path: Path, config: ModelConfig) -> Strangers:
    """As `main` wrote them, frozen."""
    made = Strangers(config)
    made.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    made.requires_grad_(False)
    made.eval()
    return made


def teach(cache: Cache, teacher: Connector, config: ModelConfig, steps: int, seed: int) -> Strangers:
    """Teaches each connector on the cells of all folds but its own."""
    rng = random.Random(seed)
    rows = [i for i in cache.tile_row if cache.views[i]["split"] == "train" and cache.views[i]["source"] != "shapes"]
    made = Strangers(config)
    optimiser = torch.optim.AdamW(made.parameters(), TOP_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, TOP_RATE, steps)
    mean = 0.0
    for step in range(steps):
        picked = rng.sample(rows, PICTURES)
        pictures = np.concatenate((cache.overview(picked)[:, None], cache.detail(picked)), axis=1)
        features = torch.from_numpy(pictures)  # [8, 5, 49, 1280]
        fold = torch.from_numpy(np.stack([folds(cache.views[i], VIEWS) for i in picked])).flatten()
        with torch.no_grad():
            wanted = teacher(features.flatten(0, 1)).flatten(0, 1)
        cells, flat = torch.arange(CELLS).repeat(PICTURES * VIEWS), features.flatten(0, 2)
        loss = torch.zeros(())
        for which in range(FOLDS):
            others = fold != which
            loss = loss + F.mse_loss(made.tokens(which, flat[others], cells[others]), wanted[others])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        mean = float(loss.detach()) / FOLDS if step == 0 else 0.97 * mean + 0.03 * float(loss.detach()) / FOLDS
        if step % 50 == 0:
            print(f"strangers step {step} unexplained {mean:.3f}", file=sys.stderr, flush=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(wanted.seed)
    paths = default_paths()
    trained = load_trained(paths.work / "edge.pt")
    made = teach(Cache.load(paths), trained.eyes.connector, trained.config, wanted.steps, wanted.seed)
    torch.save(made.state_dict(), paths.work / "strangers.pt")


if __name__ == "__main__":
    main()
