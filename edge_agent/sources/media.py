"""What clips and sounds share: opening a local file with PyAV, and resampling its sound to 16 kHz mono."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.errors import InputError
from edge_agent.sources.base import SOUND_RATE_HZ, clean_samples, regular_file
from edge_agent.types import F32

log = logging.getLogger(__name__)
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,mjpeg,h264,hevc,"
    "wav,w64,caf,aiff,mp3,flac,aac"
)  # no playlists: a file that names other files or addresses is not a clip
MAX_CHANNELS = 8
MAX_RATE_HZ = 192_000
MAX_SAMPLES_PER_S = 768_000  # of all channels: 8 at 96 kHz, 4 at 192 kHz


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Any]:
    """A PyAV container of a local file; playlists in it may not reach the network. Raises InputError."""
    import av

    regular_file(path, kind)
    av.logging.set_level(av.logging.PANIC)
    try:
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": FORMATS})
    except (av.FFmpegError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a {kind}: {_words(error)}", f"name a {kind} that ffmpeg can read"
        ) from error
    with container:
        yield container


@contextmanager
def opened_bytes(data: bytes, format_name: str, name: object) -> Iterator[Any]:
    """A PyAV container of bytes in memory, which can name no other file or address. Raises InputError."""
    import av

    av.logging.set_level(av.logging.PANIC)
    try:
        container = av.open(io.BytesIO(data), format=format_name, options={"protocol_whitelist": ""})
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{name} is no {format_name}: {_words(error)}", f"send a whole {format_name}") from error
    with container:
        yield container


def decoded(container: Any, path: object, kind: str, *streams: Any) -> Iterator[Any]:
    """Decoded frames of the streams. Damaged packets are skipped; a damaged container ends the file there; both warn.

    Raises InputError if not one frame could be decoded.
    """
    import av

    count, damaged, ended = 0, 0, ""
    packets = iter(container.demux(*streams))
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.FFmpegError as error:
            ended = _words(error)
            break
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damaged, ended = damaged + 1, _words(error)
            continue
        count += len(frames)
        yield from frames
    if count == 0 and ended:
        raise InputError(f"{path} cannot be decoded: {ended}", f"name another {kind}")
    if ended:
        log.warning("%s is damaged: %d packets skipped after %d frames: %s", path, damaged, count, ended)


def check_sound(path: object, stream: Any) -> None:
    """Refuse a sound by its declared shape. Raises InputError."""
    rate_hz, channels = stream.codec_context.sample_rate or 0, stream.codec_context.channels or 0
    known = 0 < rate_hz <= MAX_RATE_HZ and 0 < channels <= MAX_CHANNELS
    if not known or rate_hz * channels > MAX_SAMPLES_PER_S:
        hint = f"at most {MAX_CHANNELS} channels, {MAX_RATE_HZ} Hz and {MAX_SAMPLES_PER_S} samples a second are read"
        raise InputError(f"{path} declares {channels} channels of {rate_hz} Hz", hint)


class Mono16k:
    """Decoded sound as mono float32 at 16 kHz. A file may change its rate or channels half way: each kind has its own
    resampler.
    """

    def __init__(self) -> None:
        self._kind: tuple[Any, ...] | None = None
        self._resampler: Any = None

    def feed(self, frame: Any) -> F32:
        """[n] float32 in -1..1 that one decoded frame completes, possibly none."""
        import av

        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        rest: F32 = np.zeros(0, np.float32)
        if kind != self._kind:
            rest = self.end()
            self._kind = kind
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
        return np.concatenate([rest, self._resample(frame)])

    def end(self) -> F32:
        """What is left in the resampler."""
        return self._resample(None) if self._resampler is not None else np.zeros(0, np.float32)

    def _resample(self, frame: Any) -> F32:
        parts = [np.array(out.to_ndarray(), dtype=np.float32).reshape(-1) for out in self._resampler.resample(frame)]
        joined: F32 = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return clean_samples(joined)


def start_s(container: Any) -> float:
    """Where a container's own time begins, in seconds: a recording of a stream may begin anywhere."""
    return float(container.start_time or 0) / 1e6


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
