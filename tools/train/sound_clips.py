"""The sounds to learn from: ESC-10 clips with their folds, and pauses and speech that belong to no class of theirs."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from edge_agent.types import F32

RATE_HZ = 16_000
SAMPLES = 5 * RATE_HZ
CLASSES = (
    "baby_cry",
    "chainsaw",
    "clock_tick",
    "dog_bark",
    "fire_crackling",
    "helicopter",
    "person_sneeze",
    "rain",
    "rooster",
    "sea_waves",
    "speech",
    "silence",
)
SPEECH, SILENCE = 10, 11
EVENTS = 10
HELD_OUT_FOLD = 5


@dataclass(frozen=True, slots=True)
class Clip:
    """`name` is unique; `source` names the recording it was cut from; `fold` 1..5 keeps a recording on one side."""

    name: str
    source: str
    fold: int
    label: int
    samples: F32


def read_sound(path: Path) -> F32:
    """[n] float32 mono at 16 kHz of any sound or video file."""
    import av

    pieces = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        for frame in container.decode(audio=0):
            pieces += [out.to_ndarray()[0] for out in resampler.resample(frame)]
        pieces += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32)


def fit(samples: F32) -> F32:
    """Cut or padded with zeros at the end to 5 s."""
    made = np.zeros(SAMPLES, np.float32)
    made[: min(SAMPLES, len(samples))] = samples[:SAMPLES]
    return made


def resampled(samples: F32, speed: float) -> F32:
    """Played `speed` times as fast (pitch moves with it): linear interpolation behind a short low-pass."""
    if speed > 1:
        width = 15
        taps = np.sinc((np.arange(width) - width // 2) / speed) * np.hamming(width)
        samples = np.convolve(samples, (taps / taps.sum()).astype(np.float32), mode="same")
    at = np.arange(int(len(samples) / speed)) * speed
    made: F32 = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return made


def esc10(folder: Path) -> list[Clip]:
    """Every clip of `folder`/<class>/<fold>-<recording>-<take>.ogg, in the order of their names."""
    clips = []
    for label, name in enumerate(CLASSES[:EVENTS]):
        for path in sorted((folder / name).glob("*.ogg")):
            fold, source, _ = path.stem.split("-")
            clips.append(Clip(f"{name}/{path.stem}", f"{name}/{source}", int(fold), label, fit(read_sound(path))))
    if not clips:
        raise SystemExit(f"no clips in {folder}: it should hold a folder for each of {', '.join(CLASSES[:EVENTS])}")
    return clips


def noise(colour: float, rng: np.random.Generator) -> F32:
    """5 s whose power falls with frequency to the power of `colour` (0 white, 1 pink, 2 brown), RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(SAMPLES))
    frequency = np.maximum(np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ), 20.0)
    shaped = np.fft.irfft(spectrum * frequency ** (-colour / 2), SAMPLES)
    made: F32 = (shaped / shaped.std()).astype(np.float32)
    return made


def silences(count: int, fold: int, seed: int) -> list[Clip]:
    """Digital silence and the faint hiss of a microphone (-90 to -60 dB), some with mains hum."""
    rng = np.random.default_rng(seed)
    time = np.arange(SAMPLES, dtype=np.float32) / RATE_HZ
    clips = []
    for i in range(count):
        level = 10 ** (rng.uniform(-90, -60) / 20) if i % 8 else 0.0
        samples = level * noise(float(rng.uniform(0, 2)), rng)
        if rng.random() < 0.3:
            hum = np.sin(2 * np.pi * float(rng.choice([50, 60, 100])) * time)
            samples = samples + level * hum
        clips.append(Clip(f"silence/{seed}-{i}", f"silence/{seed}-{i}", fold, SILENCE, samples.astype(np.float32)))
    return clips


def recorded_speech(path: Path, fold: int, step_s: Fraction = Fraction(5, 2)) -> list[Clip]:
    """Windows of 5 s, `step_s` apart, of a recording of one speaker."""
    whole = read_sound(path)
    step = int(step_s * RATE_HZ)
    starts = range(0, max(1, len(whole) - SAMPLES + 1), step)
    return [
        Clip(f"speech/{path.stem}-{i}", f"speech/{path.stem}", fold, SPEECH, fit(whole[at:]))
        for i, at in enumerate(starts)
    ]


VOICES = ("en-us+m3", "en-gb+f2", "en-us+f4", "de+m1", "fr+f3", "es+m7", "it+f1", "pt+m5", "nl+f5", "sv+m2")
SENTENCES = (
    "The train to the coast leaves at seven in the morning, and the tickets are cheaper before Friday.",
    "Please close the window. It is going to rain, and nobody wants a wet carpet.",
    "Where did you put the keys? I have been looking for them since breakfast.",
    "One, two, three, four. Is this thing on? Good. Let us begin with the second question.",
    "My grandmother kept bees, and every summer the whole house smelled of honey and smoke.",
)


def spoken(seed: int, count: int = 40) -> list[Clip]:
    """Synthetic speech of ten voices by espeak-ng, with pauses, at many speeds; voice v is in fold v % 5 + 1."""
    rng = np.random.default_rng(seed)
    clips = []
    for i in range(count):
        voice = VOICES[i % len(VOICES)]
        command = ["espeak-ng", "-v", voice, "-s", str(rng.integers(120, 210)), "-p", str(rng.integers(25, 75))]
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            text = SENTENCES[int(rng.integers(len(SENTENCES)))]
            subprocess.run([*command, "-w", file.name, text], check=True, capture_output=True)
            samples = read_sound(Path(file.name))
        start = int(rng.integers(0, max(1, len(samples) - SAMPLES // 2)))
        clips.append(
            Clip(f"speech/{voice}-{i}", f"speech/{voice}", i % len(VOICES) % 5 + 1, SPEECH, fit(samples[start:]))
        )
    return clips
