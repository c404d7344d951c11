"""Caches what the frozen trunk makes of every clip, as it is and changed in many ways: `sound/features.npz`.

python -m tools.train.sound_features --copies 40
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.train import sound_augment as augment
from tools.train.settings import Paths, default_paths
from tools.train.sound_clips import (
    CLASSES,
    HELD_OUT_FOLD,
    Clip,
    esc10,
    fit,
    noise,
    recorded_speech,
    resampled,
    silences,
    spoken,
)
from tools.train.sound_model import MelPower, Trunk, normalised

SPEEDS = (1.0, 0.8, 0.87, 0.93, 1.07, 1.15, 1.25)
_BATCH = 30


def all_clips(data: Path) -> list[Clip]:
    """ESC-10, synthetic speech and silence in five folds; real speech of two recordings only in the held-out one."""
    clips = esc10(data / "esc10") + spoken(1)
    for fold in range(1, 6):
        clips += silences(8, fold, fold)
    for name in ("beckett.wav", "two_cities.wav"):
        clips += recorded_speech(data / "clips" / name, HELD_OUT_FOLD)
    return clips


def powers(clips: list[Clip]) -> Tensor:
    """[clips, speeds, 64, 250] float32 mel power; a clip played faster starts again to fill the 5 s."""
    mel, made = MelPower(), []
    for clip in clips:
        variants = [fit(np.tile(resampled(clip.samples, speed), 2)) if speed != 1 else clip.samples for speed in SPEEDS]
        with torch.no_grad():
            made.append(mel(torch.from_numpy(np.stack(variants))))
    return torch.stack(made)


def background(rng: np.random.Generator) -> Tensor:
    """[24, 64, 250] float32 mel power of noises from blue to brown, each of mean 1."""
    sounds = np.stack([noise(float(colour), rng) for colour in np.linspace(-0.5, 2.2, 24)])
    with torch.no_grad():
        power: Tensor = MelPower()(torch.from_numpy(sounds))
    return power / power.mean((1, 2), keepdim=True)


def changed(power: Tensor, targets: Tensor, noises: Tensor) -> tuple[Tensor, Tensor]:
    """One random change of each clip: `power` [b, speeds, bands, frames], targets [b, classes]; loudness last."""
    picked = power[torch.arange(len(power)), torch.randint(power.shape[1], (len(power),))]
    picked, targets = augment.mixed(augment.rolled(picked), targets)
    noisy = augment.noisy(augment.coloured(picked), noises)
    return augment.masked(normalised(augment.louder(noisy))), targets


@dataclass(frozen=True, slots=True)
class Cache:
    """`clean` [clips, 112, 4, 15] and `copies` [copies, clips, ...] float16, `targets` [copies, clips, 12] float32."""

    clean: Tensor
    copies: Tensor
    targets: Tensor
    labels: Tensor
    folds: Tensor
    names: list[str]
    sources: list[str]

    @classmethod
    def load(cls, paths: Paths) -> Cache:
        file = np.load(paths.work / "sound" / "features.npz")
        tensors = {key: torch.from_numpy(file[key]) for key in ("clean", "copies", "targets", "labels", "folds")}
        return cls(**tensors, names=file["names"].tolist(), sources=file["sources"].tolist())


def make(paths: Paths, copies: int) -> Path:
    """Writes the cache. Clips are mixed with clips of their own fold only, so that folds stay apart."""
    torch.manual_seed(0)
    clips = all_clips(paths.data)
    power, noises, trunk = powers(clips), background(np.random.default_rng(0)), Trunk().eval()
    labels, folds = torch.tensor([c.label for c in clips]), torch.tensor([c.fold for c in clips])
    hot = torch.eye(len(CLASSES))[labels]
    with torch.no_grad():
        clean = torch.cat([trunk(normalised(power[i : i + _BATCH, 0])) for i in range(0, len(clips), _BATCH)])
        many = torch.zeros(copies, *clean.shape, dtype=torch.float16)
        targets = torch.zeros(copies, *hot.shape)
        for copy in range(copies):
            for fold in range(1, 6):
                rows = torch.nonzero(folds == fold)[:, 0]
                rows = rows[torch.randperm(len(rows))]
                for chosen in rows.split(_BATCH):
                    level, targets[copy, chosen] = changed(power[chosen], hot[chosen], noises)
                    many[copy, chosen] = trunk(level).half()
    path = paths.work / "sound" / "features.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        clean=clean.half().numpy(),
        copies=many.numpy(),
        targets=targets.numpy(),
        labels=labels.numpy(),
        folds=folds.numpy(),
        names=np.array([c.name for c in clips]),
        sources=np.array([c.source for c in clips]),
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=40)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(make(default_paths(), parser.parse_args().copies))


if __name__ == "__main__":
    main()
