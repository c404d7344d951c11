"""Fits `reckoning` on mosaics of training photos: `python -m tools.train.reckon_fit`; writes reckoning.pt.

Needs the feature cache, edge.pt and strangers.pt. Four small fits, minutes in all: a linear map from segments to labels
(by five folds of photos, so that what follows can be fitted on labels of photos that the map had not seen); where
borders are, with real photos as pictures that have none; how usual each label is; and the few numbers of the readout.
"""

from __future__ import annotations

import argparse
import random
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.arranged import counted
from tools.train.crops import View
from tools.train.features import Cache
from tools.train.labels import COCO
from tools.train.model import Connector
from tools.train.reckoning import SIDE, SPOTS, Reckoning, middles, spots
from tools.train.settings import CELLS, IMAGE_TOKENS, TILES, default_paths
from tools.train.strangers import Strangers, read_strangers
from tools.train.trained import load_trained

FOLDS = 5
MOSAICS, PHOTOS, READ = 4100, 480, 600
"""Mosaics for labels and borders, photos without borders, and mosaics for the readout."""
_PHOTOS = ("coco", "daquar", "flickr", "pasted", "shapes")
_NUMBER = (-12.0, 0.3, 0.2, 0.1, -0.1, -0.3, -0.5, -0.8, -1.0, -1.2)
_PRIOR = (0.001, 0.3, 0.2, 0.17, 0.12, 0.1, 0.06, 0.02, 0.02, 0.01)
"""How often a number of things is there, for comparisons."""


@dataclass(slots=True)
class Mosaics:
    """`strange` [n, 196, hidden] float16 by connectors that had not seen the photos, `one` by a single one each;
    `cell` [n, 196] which object each token shows, `label` and `fold` [n][objects], `gaps` [n, 2, 13].
    """

    views: list[View]
    strange: Tensor
    one: Tensor
    cell: NDArray[np.int64]
    label: list[list[int]]
    fold: list[list[int]]
    gaps: Tensor


def in_order() -> Tensor:
    """[196]: which of the tiles' [4 * 49] tokens comes where in the order of `spots`."""
    at = spots()
    return (at // IMAGE_TOKENS - 1) * CELLS + at % IMAGE_TOKENS


def by(connector: Connector, tiles: NDArray[np.float32]) -> Tensor:
    """[4, 49, 1280] to [196, hidden] float16 in the order of `spots`."""
    with torch.no_grad():
        return connector(torch.from_numpy(tiles)).flatten(0, 1)[in_order()].half()


def by_folds(strangers: Strangers, tiles: NDArray[np.float32], view: View) -> Tensor:
    """The same, each cell by the connector that had not seen its photo."""
    features = torch.from_numpy(tiles)
    with torch.no_grad():
        seen = strangers(torch.cat((features[:1], features))[None], [view])[0, 1:]
    return seen.flatten(0, 1)[in_order()].half()


def read_mosaics(
    cache: Cache, shipped: Connector, strangers: Strangers, rows: list[int], rng: random.Random
) -> Mosaics:
    """Tokens and truth of the `grid` views `rows`."""
    where = middles().numpy()
    views = [cache.views[row] for row in rows]
    connectors = [shipped, *strangers.connectors]
    strange, one = [], []
    cell = np.full((len(rows), SIDE, SIDE), -1)
    gaps = torch.zeros(len(rows), 2, SIDE - 1)
    for i, (row, view) in enumerate(zip(rows, views, strict=True)):
        tiles = cache.detail([row])[0]
        strange.append(by_folds(strangers, tiles, view))
        alone = rng.choices(connectors, (0.4, 0.2, 0.2, 0.2))[0]  # a mix would show where the borders are
        one.append(by(alone, tiles))
        for k, thing in enumerate(view["objects"]):
            x0, y0, x1, y1 = thing["box"]
            cell[i][np.ix_((where >= y0) & (where < y1), (where >= x0) & (where < x1))] = k
        for axis, count in enumerate(view["cells"]):
            gaps[i, axis] = torch.from_numpy(np.diff(np.floor(where * count)) > 0).float()
        if i % 500 == 0:
            print(f"mosaics {i}/{len(rows)}", file=sys.stderr, flush=True)
    label = [[COCO.index(thing["label"]) for thing in view["objects"]] for view in views]
    fold = [[zlib.crc32(Path(part["path"]).name.encode()) % FOLDS for part in view["parts"]] for view in views]
    return Mosaics(views, torch.stack(strange), torch.stack(one), cell.reshape(-1, SPOTS), label, fold, gaps)


def fit_labels(segments: Tensor, labels: Tensor) -> nn.Linear:
    """A linear map from [n, hidden] to labels [n], kept small."""
    mean, spread = segments.mean(0), segments.std(0) + 0.02
    scaled = (segments - mean) / spread
    made = nn.Linear(segments.shape[1], len(COCO))
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)
    steps = 4 * len(scaled) // 256
    optimiser = torch.optim.AdamW(made.parameters(), 3e-3, weight_decay=0.5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for _ in range(steps):
        some = torch.randint(len(scaled), (256,))
        loss = F.cross_entropy(made(F.dropout(scaled[some], 0.5)), labels[some], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        made.weight /= spread
        made.bias -= made.weight @ mean
    return made.requires_grad_(False)


def label_maps(mosaics: Mosaics) -> list[nn.Linear]:
    """One for each fold, fitted without its photos, and last one fitted on all."""
    segments, labels, folds = [], [], []
    for i, cells in enumerate(mosaics.cell):
        tokens = mosaics.strange[i].float()
        for k, label in enumerate(mosaics.label[i]):
            own = torch.from_numpy(cells == k)
            if own.any():
                segments.append(tokens[own].mean(0))
                labels.append(label)
                folds.append(mosaics.fold[i][k])
    shown, named, fold = torch.stack(segments), torch.tensor(labels), torch.tensor(folds)
    return [fit_labels(shown[fold != out], named[fold != out]) for out in range(FOLDS + 1)]


def fit_lines(reckoning: Reckoning, mosaics: Mosaics, photos: Tensor, steps: int) -> None:
    """`photos` [n, 196, hidden]: without borders."""
    lines = reckoning.lines.train()
    optimiser = torch.optim.AdamW(lines.parameters(), 4e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, steps)
    mean = 0.0
    for step in range(steps):
        some = torch.randint(len(mosaics.one), (20,))
        tokens = torch.cat((mosaics.one[some], photos[torch.randint(len(photos), (8,))])).float()
        tokens = tokens + torch.randn_like(tokens) * 0.25 * torch.rand(28, 1, 1)
        wanted = torch.cat((mosaics.gaps[some], torch.zeros(8, 2, SIDE - 1)))
        found = torch.stack(lines(tokens.unflatten(1, (SIDE, SIDE))), dim=1)
        loss = F.binary_cross_entropy_with_logits(found, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        mean = float(loss.detach()) if step == 0 else 0.97 * mean + 0.03 * float(loss.detach())
        if step % 200 == 0:
            print(f"borders step {step} loss {mean:.4f}", file=sys.stderr, flush=True)
    lines.eval()


def fit_readout(reckoning: Reckoning, mosaics: Mosaics, maps: list[nn.Linear]) -> None:
    """On labels told by the maps that had not seen each photo, and borders as they are found."""
    found, shares = [], []
    with torch.no_grad():
        for i in range(len(mosaics.views) - READ, len(mosaics.views)):
            logits = torch.stack([one(mosaics.strange[i].float()) for one in maps[:FOLDS]])  # [5, 196, 80]
            fold = torch.tensor(mosaics.fold[i])[torch.from_numpy(mosaics.cell[i]).clamp_min(0)]
            own = logits[fold, torch.arange(SPOTS)]
            seen = reckoning.segments(mosaics.one[i][None].float(), own[None])
            found.append(seen.odds[0] + reckoning.usual)
            shares.append(seen.share[0])
        odds, share = torch.stack(found), torch.stack(shares)  # [m, 196, 80], [m, 196]
        usual = ((torch.sigmoid(odds) * share[..., None]).sum((0, 1)) / share.sum()).clamp_min(0.003)
        reckoning.usual.data = torch.log(usual) - torch.log(1 - usual)
    told = [(i, COCO.index(k), n) for i, view in enumerate(mosaics.views[-READ:]) for k, n in counted(view).items()]
    which, label, number = torch.tensor([one for one in told if one[2] <= 6]).T
    evidence, share = odds[which, :, label] - reckoning.usual[label][:, None], share[which]
    rare = 1 / torch.bincount(number, minlength=7).float().clamp_min(1)[number]
    reckoning.number.data, reckoning.prior.data = torch.tensor(_NUMBER), torch.log(torch.tensor(_PRIOR))
    nn.init.constant_(reckoning.bias, -0.4)
    optimiser = torch.optim.Adam([reckoning.gain, reckoning.bias, reckoning.flat, reckoning.number], 0.04)
    for _ in range(80):
        some = torch.multinomial(rare, 64)
        logits = (reckoning.evidence(evidence[some].detach(), share[some]) + reckoning.number)[:, 1:7]
        loss = F.cross_entropy(logits, number[some] - 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"readout loss {float(loss.detach()):.3f}, gain {float(reckoning.gain.detach()):.2f}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2800, help="of the borders")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(wanted.seed)
    paths, rng = default_paths(), random.Random(wanted.seed)
    cache, trained = Cache.load(paths), load_trained(paths.work / "edge.pt")
    shipped = trained.eyes.connector
    strangers = read_strangers(paths.work / "strangers.pt", trained.config)
    rows = [i for i in cache.tile_row if cache.views[i]["split"] == "train"]
    grids = [i for i in rows if cache.views[i]["source"] == "grid"]
    plain = [i for i in rows if cache.views[i]["source"] in _PHOTOS]
    mosaics = read_mosaics(cache, shipped, strangers, rng.sample(grids, min(MOSAICS, len(grids))), rng)
    photos = torch.stack([by(shipped, cache.detail([i])[0]) for i in rng.sample(plain, min(PHOTOS, len(plain)))])
    assert photos.shape[1] == TILES * CELLS
    reckoning = Reckoning(trained.config.hidden)
    maps = label_maps(mosaics)
    reckoning.label.load_state_dict(maps[-1].state_dict())
    fit_lines(reckoning, mosaics, photos, wanted.steps)
    fit_readout(reckoning, mosaics, maps)
    torch.save(reckoning.state_dict(), paths.work / "reckoning.pt")


if __name__ == "__main__":
    main()
