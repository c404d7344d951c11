"""Small photos, clips and sounds that tests make for themselves."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def make_clip(
    path: Path,
    levels: Sequence[int],
    *,
    fps: int = 10,
    size: tuple[int, int] = (48, 64),
    tone_at_s: float | None = None,
    sound: NDArray[np.float32] | None = None,
    start_s: int = 0,
    contrast: int = 40,
) -> Path:
    """A clip of one grey level a frame over a texture, with sound: silence and a click at `tone_at_s`, or `sound`
    at 16 kHz.

    Its own time begins at `start_s`, as in a recording of a stream.
    """
    height, width = size
    texture = np.random.default_rng(0).integers(0, contrast, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.bit_rate = 1_024_000 * contrast // 40
        if tone_at_s is not None:
            sound = np.zeros(16000 * len(levels) // fps, np.float32)
            at = int(tone_at_s * 16000)
            noise = np.random.default_rng(0).uniform(-0.8, 0.8, 1600)
            sound[at : at + 1600] = noise[: len(sound) - at]
        audio = out.add_stream("aac", rate=16000, layout="mono") if sound is not None else None
        for number, level in enumerate(levels):
            picture = av.VideoFrame.from_ndarray(np.clip(texture + level, 0, 255).astype(np.uint8), format="bgr24")
            picture.pts = number + start_s * fps
            for packet in video.encode(picture):
                out.mux(packet)
        for packet in video.encode(None):
            out.mux(packet)
        if audio is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                part = np.ascontiguousarray(sound[None, start : start + 1024])
                block = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                block.sample_rate, block.pts = 16000, start
                for packet in audio.encode(block):
                    out.mux(packet)
            for packet in audio.encode(None):
                out.mux(packet)
    return path


def make_wav(path: Path, samples: NDArray[np.int16], rate_hz: int = 16000) -> Path:
    """[n] or [n, channels] int16 as a WAV file."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples.tobytes())
    return path
