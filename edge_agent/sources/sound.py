"""Sound files: any rate and number of channels, as 16 kHz mono, the first ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.errors import InputError
from edge_agent.sources.base import SOUND_RATE_HZ
from edge_agent.sources.media import Mono16k, check_sound, decoded, opened, opened_bytes
from edge_agent.types import F32, AudioWindow

MAX_SOUND_S = 600.0


def load_sound(path: Path, most_s: float = MAX_SOUND_S) -> AudioWindow:
    """WAV, OGG, FLAC, MP3 or the sound of a clip, mixed down to mono float32 at 16 kHz; at most the first `most_s`.

    Raises InputError for a file that is missing, empty, has no sound, no sample, or cannot be decoded.
    """
    with opened(path, "sound") as container:
        return _read(container, path, most_s)


def decode_sound(data: bytes, format_name: str, name: object, most_s: float = MAX_SOUND_S) -> AudioWindow:
    """The same of a sound in memory, in the container `format_name` ("wav", "mp3"); `name` is for the error."""
    with opened_bytes(data, format_name, name) as container:
        return _read(container, name, most_s)


def _read(container: Any, name: object, most_s: float) -> AudioWindow:
    if not container.streams.audio:
        raise InputError(f"{name} has no sound in it", "name a WAV, OGG, FLAC or MP3 file")
    stream = container.streams.audio[0]
    check_sound(name, stream)
    most, have = int(most_s * SOUND_RATE_HZ), 0
    parts: list[F32] = []
    for samples in _samples(container, name, stream):
        parts.append(samples)
        have += len(samples)
        if have >= most:
            break
    if have == 0:
        raise InputError(f"{name} has 0 samples", "name a sound with something in it")
    return AudioWindow(np.concatenate(parts)[:most], SOUND_RATE_HZ)


def _samples(container: Any, name: object, stream: Any) -> Iterator[F32]:
    mono = Mono16k()
    for frame in decoded(container, name, "sound", stream):
        yield mono.feed(frame)
    yield mono.end()
