"""The ears in training: mel power is that of the textbook, loudness falls out, folds and tokens have their shapes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the training tools are not tested here")
pytest.importorskip("efficientnet_lite_pytorch", reason="the pretrained trunk is not installed")
sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed

from tools.train import sound_augment as augment  # noqa: E402
from tools.train.sound_clips import SAMPLES, fit, noise, resampled  # noqa: E402
from tools.train.sound_model import (  # noqa: E402
    AUDIO_TOKENS,
    FFT,
    FRAMES,
    HIDDEN,
    HOP,
    MELS,
    WINDOW,
    Head,
    MelPower,
    mel_filters,
    normalised,
)


def sound(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(noise(1.0, np.random.default_rng(seed)) * np.float32(0.1))[None]


def test_mel_power_is_that_of_a_windowed_fourier_transform() -> None:
    samples = sound()
    made = MelPower()(samples)[0]  # [64, 250]
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(samples[0].numpy(), (WINDOW - HOP) // 2)
    for frame in (0, 100, FRAMES - 1):
        piece = padded[frame * HOP : frame * HOP + WINDOW] * window * 2 / window.sum()
        wanted = np.abs(np.fft.rfft(piece, FFT)) ** 2 @ mel_filters().numpy()
        np.testing.assert_allclose(made[:, frame].numpy(), wanted, rtol=2e-2, atol=1e-9)


def test_loudness_falls_out_and_silence_is_zero() -> None:
    mel = MelPower()
    loud, soft = normalised(mel(sound())), normalised(mel(sound() * 0.5))
    assert float((loud - soft).abs().max()) < 0.15
    assert float(normalised(mel(torch.zeros(1, SAMPLES))).abs().max()) == 0.0


def test_a_head_gives_tokens_of_mean_zero_and_variance_one() -> None:
    head = Head()
    head.eval()
    logits, tokens = head(torch.randn(2, 112, 4, 15))
    assert logits.shape == (2, 12)
    assert tokens.shape == (2, AUDIO_TOKENS, HIDDEN)
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, AUDIO_TOKENS), atol=1e-4, rtol=0)
    torch.testing.assert_close(tokens.var(-1, correction=0), torch.ones(2, AUDIO_TOKENS), atol=1e-2, rtol=0)


def test_changes_keep_shape_and_positive_power_and_targets_stay_shares() -> None:
    torch.manual_seed(0)
    power, targets = torch.rand(6, MELS, FRAMES), torch.eye(12)[:6]
    mixed, shares = augment.mixed(augment.rolled(power), targets)
    made = augment.louder(augment.noisy(augment.coloured(mixed), torch.rand(3, MELS, FRAMES)))
    assert made.shape == power.shape
    assert float(made.min()) >= 0
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    assert float(shares.argmax(1).eq(targets.argmax(1)).float().mean()) == 1.0


def test_a_roll_keeps_every_frame() -> None:
    power = torch.rand(3, MELS, FRAMES)
    torch.testing.assert_close(augment.rolled(power).sort(-1).values, power.sort(-1).values)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_speed_moves_the_pitch(speed: float) -> None:
    time = np.arange(SAMPLES) / 16000
    tone = fit(resampled(np.sin(2 * np.pi * 1000 * time).astype(np.float32), speed))[:32000]
    peak = np.argmax(np.abs(np.fft.rfft(tone))) * 16000 / len(tone)
    assert peak == pytest.approx(1000 * speed, abs=2)
