"""What may happen to a sound without changing its name, done on mel power because that is cheap and exact enough.

Powers of independent sounds add, a filter multiplies each band, a shift in time rolls the frames: so mixing, noise,
loudness, microphones and position are simulated here; speed (and pitch) comes from resampled copies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def between(count: int, low: float, high: float, axes: int = 3) -> Tensor:
    """[count, 1, ...] uniform numbers."""
    return torch.rand(count, *[1] * (axes - 1)) * (high - low) + low


def chance(count: int, share: float, axes: int = 3) -> Tensor:
    """[count, 1, ...] float32, 1 with probability `share`, else 0."""
    return (torch.rand(count, *[1] * (axes - 1)) < share).float()


def rolled(power: Tensor) -> Tensor:
    """Each clip turned round in time by a random number of frames."""
    count, bands, frames = power.shape
    at = (torch.arange(frames)[None, :] + torch.randint(frames, (count, 1))) % frames
    return power.gather(2, at[:, None, :].expand(-1, bands, -1))


def coloured(power: Tensor, share: float = 0.7, deepest_db: float = 8.0) -> Tensor:
    """Through a random smooth filter: what another microphone or room does."""
    count, bands, _ = power.shape
    points = (torch.rand(count, 1, 6) * 2 - 1) * deepest_db * chance(count, share)
    curve = F.interpolate(points, size=bands, mode="linear", align_corners=True)  # [b, 1, bands] dB
    return power * 10 ** (curve.transpose(1, 2) / 10)


def noisy(power: Tensor, noises: Tensor, share: float = 0.5) -> Tensor:
    """With background noise 0 to 40 dB below the clip's own mean power. `noises` [n, bands, frames] of mean 1."""
    count = len(power)
    chosen = rolled(noises[torch.randint(len(noises), (count,))])
    below = 10 ** (-between(count, 0.0, 40.0) / 10)
    return power + chosen * power.mean((1, 2), keepdim=True) * below * chance(count, share)


def louder(power: Tensor, low_db: float = -20.0, high_db: float = 6.0) -> Tensor:
    return power * 10 ** (between(len(power), low_db, high_db) / 10)


def mixed(power: Tensor, targets: Tensor, share: float = 0.5) -> tuple[Tensor, Tensor]:
    """Some clips with another one under them, in a random ratio of loudness; targets are mixed by amplitude."""
    count = len(power)
    other = torch.randperm(count)
    ratio = between(count, 0.5, 1.0)
    ratio = torch.where(chance(count, share) > 0, ratio, torch.ones_like(ratio))
    own = power.mean((1, 2), keepdim=True)
    scale = (own + 1e-9) / (own[other] + 1e-9)
    both = power * ratio**2 + power[other] * scale.clamp(1e-3, 1e3) * (1 - ratio) ** 2
    weight = ratio[:, :, 0]
    return both, targets * weight + targets[other] * (1 - weight)


def masked(level: Tensor, widest: tuple[int, int] = (10, 40), share: float = 0.8) -> Tensor:
    """A stripe of bands and a stripe of frames set to 0 (the mean of a normalised clip)."""
    count, bands, frames = level.shape
    for axis, size, most in ((1, bands, widest[0]), (2, frames, widest[1])):
        start = between(count, 0, size)
        width = between(count, 0, most) * chance(count, share)
        at = torch.arange(size).reshape(1, -1, 1) if axis == 1 else torch.arange(size).reshape(1, 1, -1)
        level = level * ~((at >= start) & (at < start + width))
    return level
