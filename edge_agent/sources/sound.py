"""Sound files: any rate and number of channels, as 16 kHz mono, the first ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_agent.errors import InputError
from edge_agent.sources.base import SOUND_RATE_HZ
from edge_agent.sources.media import Mono16k, check_sound, decoded, opened
from edge_agent.types import F32, AudioWindow

MAX_SOUND_S = 600.0


def load_sound(path: Path, most_s: float = MAX_SOUND_S) -> AudioWindow:
    """WAV, OGG, FLAC, MP3 or the sound of a clip, mixed down to mono float32 at 16 kHz; at most the first `most_s`.

    Raises InputError for a file that is missing, empty, has no sound, no sample, or cannot be decoded.
    """
    most = int(most_s * SOUND_RATE_HZ)
    with opened(path, "sound") as container:
        if not container.streams.audio:
            raise InputError(f"{path} has no sound in it", "name a WAV, OGG, FLAC or MP3 file")
        stream = container.streams.audio[0]
        check_sound(path, stream)
        parts: list[F32] = []
        have = 0
        for samples in _samples(container, path, stream):
            parts.append(samples)
            have += len(samples)
            if have >= most:
                break
    if have == 0:
        raise InputError(f"{path} has 0 samples", "name a sound with something in it")
    return AudioWindow(np.concatenate(parts)[:most], SOUND_RATE_HZ)


def _samples(container: object, path: Path, stream: object) -> Iterator[F32]:
    mono = Mono16k()
    for frame in decoded(container, path, "sound", stream):
        yield mono.feed(frame)
    yield mono.end()
