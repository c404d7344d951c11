"""Makes training batches: picture features (with tiles or without), sound embeddings and packed questions."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.train.features import Cache, Top
from tools.train.pack import Packer
from tools.train.questions import Asker, Question
from tools.train.settings import IMAGE_TOKENS, TILES
from tools.train.sounds import Sounds

IMAGE_DROP, TOKEN_DROP, VIEWS_DROP = 0.05, 0.15, 0.15
PRETEND = 0.12
"""How often another class is put in the place of what the class head says, and only names are asked."""
SOUND_SHARE, SILENT_SHARE = 0.15, 0.03


@dataclass(slots=True)
class Batch:
    """`features` [b, v, 49, 1280] float32 (v = 1 or 5); `pretend` [b] the class to put in the head's place, or -1;
    `sound` [b, A, hidden]; `seen` [b, v * 51 + A] bool, which of these tokens are there; `ids`, `targets`, `positions`,
    `segments` [b, t] int64, `weights` [b, t] of each target; `rows` the views' numbers.
    """

    features: Tensor
    pretend: Tensor
    sound: Tensor
    seen: Tensor
    ids: Tensor
    targets: Tensor
    positions: Tensor
    segments: Tensor
    weights: Tensor
    rows: list[int]


class Batches:
    """An endless stream of batches from the cache; `shares` says how often each source is drawn."""

    def __init__(
        self,
        cache: Cache,
        top: list[Top],
        packer: Packer,
        names: list[str],
        shares: dict[str, float],
        sounds: Sounds,
        seed: int,
        tiles: bool = False,
    ) -> None:
        self._cache, self._top, self._packer, self._sounds, self._tiles = cache, top, packer, sounds, tiles
        self._rng = random.Random(seed)
        self.asker = Asker(random.Random(seed + 1), names)
        self._rows: dict[str, list[int]] = {s: [] for s in shares}
        for i, view in enumerate(cache.views):
            if view["split"] == "train" and view["source"] in shares and (not tiles or i in cache.tile_row):
                self._rows[view["source"]].append(i)
        self._sources = [s for s in shares if self._rows[s]]
        self._weights = [shares[s] for s in self._sources]

    def make(self, size: int, length: int) -> Batch:
        rng = self._rng
        rows = [rng.choice(self._rows[s]) for s in rng.choices(self._sources, self._weights, k=size)]
        pretend = [rng.randrange(len(self.asker.names)) if rng.random() < PRETEND else -1 for _ in rows]
        heard = [self._sounds.pick(rng) if self._hears(rng) else None for _ in rows]
        packed = np.stack(
            [self._packer.row(self._asked(*one), length, rng) for one in zip(rows, pretend, heard, strict=True)]
        )
        features = self._cache.overview(rows)[:, None]  # [b, 1, 49, 1280]
        if self._tiles:
            features = np.concatenate([features, self._cache.detail(rows)], axis=1)  # [b, 5, 49, 1280]
        sounds = [self._sounds.draw(clip, rng) for clip in heard]
        numbers = torch.from_numpy(packed[:, :4].astype(np.int64))
        return Batch(
            torch.from_numpy(features),
            torch.tensor(pretend),
            torch.from_numpy(np.stack([tokens for tokens, _ in sounds])),
            torch.cat((self._seen(pretend), torch.from_numpy(np.stack([there for _, there in sounds]))), dim=1),
            numbers[:, 0],
            numbers[:, 1],
            numbers[:, 2],
            numbers[:, 3],
            torch.from_numpy(packed[:, 4].astype(np.float32)),
            rows,
        )

    def _hears(self, rng: random.Random) -> bool:
        return bool(self._sounds.labels) and rng.random() < SOUND_SHARE

    def _asked(self, row: int, pretend: int, heard: int | None) -> list[Question]:
        asker = self.asker
        made = asker.names_of(pretend) if pretend >= 0 else asker.ask(self._cache.views[row], self._top[row])
        if heard is not None or self._rng.random() < SILENT_SHARE:
            view = None if pretend >= 0 else self._cache.views[row]
            about = [Question(*one) for one in self._sounds.ask(heard, view, self._rng)]
            made = about + made[: max(4, len(made) - len(about))]
            self._rng.shuffle(made)
        return made

    def _seen(self, pretend: list[int]) -> Tensor:
        """[b, views * 51] bool: drops whole pictures, all tiles or single tokens at times."""
        views = 1 + TILES if self._tiles else 1
        seen = torch.ones(len(pretend), views * IMAGE_TOKENS, dtype=torch.bool)
        for i, row in enumerate(seen):
            chance = self._rng.random()
            if self._tiles and self._rng.random() < VIEWS_DROP:
                row[IMAGE_TOKENS:] = False
            if chance < IMAGE_DROP and pretend[i] < 0:
                row[:] = False
            elif chance < IMAGE_DROP + TOKEN_DROP:
                row &= torch.rand(len(row)) > 0.25
        return seen
