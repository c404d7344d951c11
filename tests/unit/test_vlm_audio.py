"""Sound before the audio encoder: the loudest stretch, another rate without aliasing, odd input refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edge_agent.errors import InputError, ModelError
from edge_agent.types import F32, AudioWindow
from edge_agent.vlm import AudioEncoder, Bundle, find_bundle
from edge_agent.vlm.audio import check_sound, loudest, resample


def tone(hz: float, seconds: float, rate_hz: int) -> F32:
    made: F32 = np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32)
    return made


def test_short_sound_is_kept_whole() -> None:
    window = AudioWindow(tone(440, 2.0, 16000), 16000)
    assert loudest(window, 5.0) is window


def test_the_loudest_stretch_of_ten_minutes_is_found() -> None:
    samples = np.zeros(600 * 16000, np.float32)
    samples[400 * 16000 : 404 * 16000] = 0.5
    found = loudest(AudioWindow(samples, 16000, start_s=10.0), 5.0)
    assert found.duration_s == 5.0
    assert float(np.square(found.samples).sum()) == pytest.approx(4 * 16000 * 0.25)
    assert 10 + 399 <= found.start_s <= 10 + 400


def test_ten_minutes_take_little_more_memory_than_they_are() -> None:
    window = AudioWindow(np.random.default_rng(0).normal(size=600 * 16000).astype(np.float32), 16000)
    encoder = AudioEncoder(Bundle.open(find_bundle("edge-vqa")))
    tracemalloc.start()
    try:
        encoder.encode(window)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < window.samples.nbytes / 2


def test_the_loudest_stretch_is_that_of_the_sums_over_all_samples() -> None:
    random = np.random.default_rng(1)
    samples = (random.normal(size=1_000_003) * np.repeat(random.random(1001), 1000)[:1_000_003]).astype(np.float32)
    sums = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.append(np.arange(0, len(samples) - 80_000, 1600), len(samples) - 80_000)
    best = int(starts[np.argmax(sums[starts + 80_000] - sums[starts])])
    assert loudest(AudioWindow(samples, 16000), 5.0).start_s == best / 16000


def test_of_equally_loud_stretches_the_last_is_taken() -> None:
    assert loudest(AudioWindow(np.zeros(160_000, np.float32), 16000), 5.0).start_s == 5.0


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000])
def test_a_tone_keeps_its_pitch_and_level_at_another_rate(rate_hz: int) -> None:
    made = resample(AudioWindow(tone(1000, 1.0, rate_hz), rate_hz), 16000)
    assert len(made) == 16000
    np.testing.assert_allclose(made[800:-800], tone(1000, 1.0, 16000)[800:-800], atol=0.01)


def test_what_the_lower_rate_cannot_hold_is_removed_and_not_folded_back() -> None:
    made = resample(AudioWindow(tone(11_000, 1.0, 48000), 48000), 16000)
    assert float(np.abs(made[800:-800]).max()) < 0.01


def test_the_same_rate_is_not_touched() -> None:
    samples = tone(440, 0.1, 16000)
    assert resample(AudioWindow(samples, 16000), 16000) is samples


@pytest.mark.parametrize(
    ("samples", "rate_hz", "words"),
    [
        (np.zeros(0, np.float32), 16000, "0 samples"),
        (np.zeros((2, 2), np.float32), 16000, "0 samples"),
        (np.array([np.nan], np.float32), 16000, "NaN"),
        (np.zeros(9, np.float32), 0, "0 samples a second"),
        (np.zeros(9, np.float32), 400_000, "400000 samples a second"),
        (np.broadcast_to(np.float32(0), 70_000_000), 16000, "is over 3600 s"),
    ],
)
def test_sound_that_cannot_be_is_refused(samples: F32, rate_hz: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_sound(AudioWindow(samples, rate_hz))


def test_a_bundle_without_audio_encoder_says_so() -> None:
    with pytest.raises(ModelError, match="no audio encoder"):
        AudioEncoder(Bundle.open(find_bundle("cloud-vqa")))
