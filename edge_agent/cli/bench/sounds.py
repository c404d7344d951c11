"""Sound to measure on: tones under noise, and real speech where there is a folder with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.errors import InputError
from edge_agent.types import F32

NOISE = "noise"
SPEECH = {"speech": "clips/two_cities.wav"}
INPUTS = (NOISE, *SPEECH)
RATE_HZ = 16000
WINDOW = 512
CHUNKS = 4


@dataclass(frozen=True, slots=True)
class SoundScene:
    """A stretch of sound in chunks of `length` samples, a whole number of hops, behind `window - hop` samples of lead.

    With the lead fed first, each chunk completes `length / hop` frames.
    """

    case: str
    samples: F32
    length: int
    hop: int
    window: int = WINDOW

    @property
    def lead(self) -> int:
        """Samples before the first chunk."""
        return self.window - self.hop

    @property
    def frames(self) -> int:
        """Frames that a chunk completes."""
        return self.length // self.hop

    def chunk(self, index: int) -> F32:
        """What is new in a chunk, [length]; round and round."""
        start = self.lead + index % CHUNKS * self.length
        return self.samples[start : start + self.length]

    def span(self, index: int) -> F32:
        """A chunk with the samples before it that its frames need, [lead + length]."""
        start = index % CHUNKS * self.length
        return self.samples[start : start + self.lead + self.length]


def there(data: Path | None) -> tuple[str, ...]:
    """Which inputs there are."""
    return (NOISE, *(name for name, path in SPEECH.items() if data is not None and (data / path).is_file()))


def base_sound(name: str, seconds: float, data: Path | None) -> F32:
    """[seconds * 16000] float32 within -1..1. Raises InputError for a file that is shorter or cannot be read."""
    count = int(seconds * RATE_HZ)
    if name == NOISE:
        n = np.arange(count)
        tones = 0.3 * np.sin(2 * np.pi * 440 * n / RATE_HZ) + 0.1 * np.sin(2 * np.pi * 1870 * n / RATE_HZ)
        noise = np.random.default_rng(1).standard_normal(count) * 0.1
        return np.asarray((tones + noise) * (0.6 + 0.4 * np.sin(n / 9000)), dtype=np.float32)
    assert data is not None
    from edge_agent.sources.sound import load_sound

    samples = load_sound(data / SPEECH[name], seconds).samples
    if len(samples) < count:
        raise InputError(f"{data / SPEECH[name]} is shorter than {seconds:g} s", "name another folder with --data")
    return samples[:count]


def make_scene(case: str, sound: F32, seconds: float, hop: int) -> SoundScene:
    """Chunks of `seconds`, cut to a whole number of hops."""
    length = int(seconds * RATE_HZ) // hop * hop
    return SoundScene(case, sound[: WINDOW - hop + CHUNKS * length].copy(), length, hop)
