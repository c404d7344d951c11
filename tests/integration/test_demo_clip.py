"""The bundled clip: its cuts and bells are where demo.json says, and the features show them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import av
import numpy as np
import pytest

from edge_agent.config import FeatureSettings, TriggerSettings
from edge_agent.features import FeatureExtractor
from edge_agent.triggers import Triggers

ASSETS = files("edge_agent") / "assets"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def motion() -> list[tuple[float, Any]]:
    """(seconds, MotionFeatures) of each frame."""
    extractor = FeatureExtractor(change_threshold=FeatureSettings().change_threshold)
    with av.open(str(ASSETS / "demo.mp4")) as clip:
        return [(f.time, extractor.vision(f.to_ndarray(format="bgr24"))[1]) for f in clip.decode(video=0)]


@pytest.fixture(scope="module")
def sound() -> tuple[np.ndarray, int, float]:
    """([N] float32 samples, rate in hertz, seconds of the first)."""
    parts, first_s, rate_hz = [], None, 0
    with av.open(str(ASSETS / "demo.mp4")) as clip:
        for frame in clip.decode(audio=0):
            first_s = float(frame.time) if first_s is None else first_s
            rate_hz = frame.sample_rate
            parts.append(frame.to_ndarray()[0].astype(np.float32))
    return np.concatenate(parts), rate_hz, first_s or 0.0


def test_the_clip_is_small_and_as_long_as_it_says(told, motion):
    assert len((ASSETS / "demo.mp4").read_bytes()) < 900_000
    assert len(motion) == told["duration_s"] * told["fps"]


def test_every_cut_stands_above_all_other_frames(told, motion):
    cuts = {round(at_s * told["fps"]) for at_s in told["cuts_s"]}
    share = [row.changed_share for _, row in motion]
    at_cuts = [share[n] for n in cuts]
    elsewhere = [value for n, value in enumerate(share) if n not in cuts]
    assert min(at_cuts) > 2 * max(elsewhere)
    assert [round(motion[n][0], 3) for n in sorted(cuts)] == told["cuts_s"]


def test_every_bell_is_a_peak_of_spectral_flux(told, sound):
    samples, rate_hz, first_s = sound
    extractor = FeatureExtractor()
    features = extractor.sound(samples, rate_hz)
    times = first_s + (np.arange(len(features.flux)) * features.hop + features.window / 2) / rate_hz
    near = np.zeros(len(times), dtype=bool)
    for at_s in told["onsets_s"]:
        here = np.abs(times - at_s) < 0.06
        assert features.flux[here].max() == features.flux[np.abs(times - at_s) < 0.5].max()
        near |= here
    peaks = [features.flux[np.abs(times - at_s) < 0.06].max() for at_s in told["onsets_s"]]
    assert min(peaks) > 3 * features.flux[~near].max()


def test_the_default_triggers_fire_at_the_start_at_each_cut_and_at_each_bell_and_at_nothing_else(told, motion, sound):
    samples, rate_hz, first_s = sound
    extractor = FeatureExtractor()
    step = rate_hz // 10
    chunks = [
        (first_s + at / rate_hz, extractor.sound(samples[at : at + step].copy(), rate_hz))
        for at in range(0, len(samples), step)
    ]
    triggers = Triggers(TriggerSettings())
    fired = []
    for at_s, row in sorted([*motion, *chunks], key=lambda item: item[0]):
        firing = triggers.frame(row, at_s) if hasattr(row, "changed_share") else triggers.sound(row, at_s)
        if firing is not None:
            fired.append((firing.at_s, firing.trigger))
    wanted = [(0.0, "change"), *((t, "change") for t in told["cuts_s"]), *((t, "sound") for t in told["onsets_s"])]
    assert [trigger for _, trigger in fired] == [trigger for _, trigger in sorted(wanted)]
    for (at_s, _), (wanted_s, _) in zip(fired, sorted(wanted), strict=True):
        assert at_s == pytest.approx(wanted_s, abs=0.11)
