"""The ears: log-mel inside the graph, a small convolutional network, and seven tokens that the decoders can read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.train.backbone import Backbone, round_to_int8
from tools.train.sound_clips import CLASSES, RATE_HZ, SAMPLES

WINDOW, HOP, FFT, MELS = 400, 320, 512, 64
FRAMES = SAMPLES // HOP
TIME_TOKENS = 5
AUDIO_TOKENS = TIME_TOKENS + 2
HIDDEN = 192
TRUNK_BLOCKS, TRUNK_WIDTH, TRUNK_BANDS, TRUNK_FRAMES = 11, 112, 4, 15
FLOOR = 1e-7
SHARPNESS = 2.0


def mel_filters() -> Tensor:
    """[257, 64] float32: triangles evenly spaced on the HTK mel scale, 50 Hz to 7.8 kHz, each of area 1."""
    top, bottom = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (7800.0, 50.0))
    points = 700.0 * (10.0 ** (torch.linspace(bottom, top, MELS + 2, dtype=torch.float64) / 2595.0) - 1.0)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64) * RATE_HZ / FFT
    low, centre, high = points[:-2], points[1:-1], points[2:]
    rising = (bins[:, None] - low) / (centre - low)
    falling = (high - bins[:, None]) / (high - centre)
    weights = torch.minimum(rising, falling).clamp_min(0.0)
    return (weights / weights.sum(0).clamp_min(1e-9)).float()


class MelPower(nn.Module):  # type: ignore[misc]
    """samples [b, 80000] float32 in -1..1 to power [b, 64, 250] float32, about 0.1 for a loud sound; no parameters.

    A 25 ms Hann window each 20 ms and a 512-point DFT, written as one convolution, so that every runtime has it. Its
    weights are float16 numbers, so that a file can hold them as such.
    """

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64)
        angle = 2 * math.pi * torch.arange(WINDOW, dtype=torch.float64) / FFT
        angle = angle[None, :] * torch.arange(FFT // 2 + 1, dtype=torch.float64)[:, None]
        scaled = window * (2.0 / window.sum())
        basis = torch.cat((torch.cos(angle) * scaled, torch.sin(angle) * scaled))  # [514, 400]
        self.register_buffer("basis", basis.half().float()[:, None, :], persistent=False)
        self.register_buffer("filters", mel_filters().T[:, :, None].contiguous(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        padding = (WINDOW - HOP) // 2
        waves = F.conv1d(samples[:, None, :], self.basis, stride=HOP, padding=padding)  # [b, 514, 250]
        real, imaginary = waves.chunk(2, dim=1)
        return F.conv1d(real * real + imaginary * imaginary, self.filters)  # [b, 64, 250]


def normalised(power: Tensor) -> Tensor:
    """Decibels over a fixed floor, less their mean over the clip: loudness falls out, and silence is all zeros."""
    level = torch.log10(power / FLOOR + 1.0)  # at least 0, so that float32 sums stay exact
    return (level - level.mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)) * 1.2


class Trunk(nn.Module):  # type: ignore[misc]
    """[b, 64, 250] float32 to [b, 112, 4, 15] float32: the first 11 blocks of EfficientNet-Lite0, frozen.

    Trained on photos, yet edges and textures of a spectrogram are edges and textures: with so few clips its frozen
    features beat a network of our own. The three colour channels of the stem are summed into one.
    """

    def __init__(self) -> None:
        super().__init__()
        net = Backbone().net
        net._conv_stem.weight.data = round_to_int8(net._conv_stem.weight.data.sum(1, keepdim=True))
        self.stem, self.blocks = net._conv_stem, nn.ModuleList(net._blocks[:TRUNK_BLOCKS])
        self.requires_grad_(False)

    def forward(self, level: Tensor) -> Tensor:
        x = F.relu6(self.stem(level[:, None]))
        for block in self.blocks:
            x = block(x)
        return x


class Head(nn.Module):  # type: ignore[misc]
    """[b, 112, 4, 15] float32 to logits [b, 12] and tokens [b, 7, 192] float32, each of mean 0 and variance 1.

    Tokens: 0 the name (class probabilities, sharpened, times fixed class directions), 1 the whole clip, 2..6 its five
    seconds.
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("shift", torch.zeros(TRUNK_WIDTH * TRUNK_BANDS))
        self.register_buffer("scale", torch.ones(TRUNK_WIDTH * TRUNK_BANDS))
        self.frame = nn.Linear(TRUNK_WIDTH * TRUNK_BANDS, HIDDEN)
        self.classify = nn.Linear(2 * HIDDEN, len(CLASSES))
        self.clip_token = nn.Linear(2 * HIDDEN, HIDDEN)
        self.time_token = nn.Linear(HIDDEN, HIDDEN)
        self.read_token = nn.Linear(HIDDEN, len(CLASSES))
        directions = nn.init.orthogonal_(torch.empty(HIDDEN, len(CLASSES)), generator=torch.Generator().manual_seed(1))
        self.register_buffer("names", directions.T.contiguous() * 10.0)  # [12, 192]

    def standardise(self, features: Tensor) -> None:
        """Takes mean and spread of every channel and band from training features [n, 112, 4, 15]."""
        flat = features.flatten(1, 2)  # [n, 448, 15]
        self.shift.copy_(flat.mean((0, 2)))
        self.scale.copy_(1.0 / (flat.std((0, 2)) + 0.05))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        frames = (features.flatten(1, 2).transpose(1, 2) - self.shift) * self.scale  # [b, 15, 448]
        frames = F.relu(self.frame(F.dropout(frames, self.dropout, self.training)))  # [b, 15, 192]
        whole = torch.cat((frames.mean(1), frames.amax(1)), dim=-1)  # [b, 384]
        whole = F.dropout(whole, self.dropout, self.training)
        logits = self.classify(whole)
        name = torch.softmax(logits * SHARPNESS, dim=-1) @ self.names
        seconds = frames.reshape(-1, TIME_TOKENS, TRUNK_FRAMES // TIME_TOKENS, HIDDEN).mean(2)  # [b, 5, 192]
        tokens = torch.cat((name[:, None], self.clip_token(whole)[:, None], self.time_token(seconds)), dim=1)
        return logits, F.layer_norm(tokens, (HIDDEN,))


class Ears(nn.Module):  # type: ignore[misc]
    """samples [b, 80000] float32 16 kHz in -1..1 to audio_features [b, 7, 192] float32."""

    def __init__(self, trunk: Trunk, head: Head) -> None:
        super().__init__()
        self.power, self.trunk, self.head = MelPower(), trunk, head

    def forward(self, samples: Tensor) -> Tensor:
        _, tokens = self.head(self.trunk(normalised(self.power(samples))))
        made: Tensor = tokens
        return made
