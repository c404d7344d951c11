"""The audio encoder: a stretch of sound to the embeddings that the decoders read and the link carries."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InputError, ModelError
from edge_agent.types import F32, AudioWindow, Embeddings, Modality
from edge_agent.vlm.bundle import AUDIO, Bundle
from edge_agent.vlm.layout import MAX_RATE_HZ
from edge_agent.vlm.manifest import VERIFY
from edge_agent.vlm.session import check_nodes, open_session, run

MAX_SOUND_S = 3600.0
STEP_S = 0.1
_ZEROS = 16  # zero crossings of the windowed sinc on each side
_ROWS = 4096  # output samples that are resampled at once
_BLOCK = 1 << 18  # samples whose energy is summed at once: ten minutes must not take ten times their own memory


class AudioEncoder:
    """Loads the audio graph of `bundle` on `threads` threads. Safe to call from one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        if not bundle.has_audio or bundle.layout.sound is None:
            raise ModelError(f"{bundle.name} has no audio encoder", "ask about a picture, or choose another bundle")
        self._bundle = bundle
        self._input = bundle.layout.sound
        path = bundle.graph(AUDIO)
        self._session = open_session(path, threads, bundle.providers)
        check_nodes(self._session, path, ("samples",), ("audio_features",))

    def encode(self, window: AudioWindow) -> Embeddings:
        """The loudest stretch that the model can hear, as Embeddings [tokens, hidden] float32, a new array.

        Shorter sound is followed by silence. Raises InputError for sound without a sample, with one that is not finite,
        of an impossible rate or of over an hour, before memory is taken for it; ModelError.
        """
        check_sound(window)
        heard = resample(loudest(window, self._input.samples / self._input.rate_hz), self._input.rate_hz)
        samples = np.zeros((1, self._input.samples), dtype=np.float32)  # [1, samples]
        samples[0, : len(heard)] = heard[: self._input.samples]
        (made,) = run(self._session, ["audio_features"], {"samples": samples}, "the audio encoder")
        wanted = (1, self._input.tokens, self._bundle.hidden_size)
        if made.shape != wanted:
            raise ModelError(f"the audio encoder gave {list(made.shape)} instead of {list(wanted)}", VERIFY)
        data = np.ascontiguousarray(made[0], dtype=np.float32)  # [tokens, hidden]
        return Embeddings(data, self._bundle.audio_encoder_id, Modality.AUDIO)


def loudest(window: AudioWindow, seconds: float) -> AudioWindow:
    """The stretch of at most `seconds` with the most energy, begun at a multiple of STEP_S; of equal ones the last."""
    size = max(1, round(seconds * window.rate_hz))
    if len(window.samples) <= size:
        return window
    step = max(1, round(STEP_S * window.rate_hz))
    starts = np.append(np.arange(0, len(window.samples) - size, step), len(window.samples) - size)
    sums = _energy_before(window.samples, starts + size) - _energy_before(window.samples, starts)
    best = int(starts[len(starts) - 1 - int(np.argmax(sums[::-1]))])
    return AudioWindow(window.samples[best : best + size], window.rate_hz, window.start_s + best / window.rate_hz)


def _energy_before(samples: F32, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """The energy of the first `ends` samples, for each of them: [len(ends)] float64."""
    made, so_far = np.zeros(len(ends)), 0.0
    for first in range(0, len(samples), _BLOCK):
        sums = np.square(samples[first : first + _BLOCK], dtype=np.float64)
        sums[0] += so_far
        np.cumsum(sums, out=sums)
        here = (ends > first) & (ends <= first + len(sums))
        made[here] = sums[ends[here] - first - 1]
        so_far = float(sums[-1])
    return made


def resample(window: AudioWindow, rate_hz: int) -> F32:
    """[M] float32 at `rate_hz`: a Hann-windowed sinc, its cut-off at the lower of both Nyquist frequencies."""
    if window.rate_hz == rate_hz:
        return window.samples
    ratio = min(1.0, rate_hz / window.rate_hz)
    half = math.ceil(_ZEROS / ratio)
    padded = np.pad(window.samples, half)  # [half + N + half]
    count = int(len(window.samples) * rate_hz / window.rate_hz)
    made = np.empty(count, dtype=np.float32)
    for first in range(0, count, _ROWS):
        at = np.arange(first, min(first + _ROWS, count)) * (window.rate_hz / rate_hz)  # [rows] in input samples
        base = np.floor(at).astype(np.int64)
        taps = base[:, None] + np.arange(1 - half, half + 1)[None]  # [rows, 2 * half]
        away = at[:, None] - taps
        weights = ratio * np.sinc(ratio * away) * (0.5 + 0.5 * np.cos(np.pi * np.clip(away / half, -1, 1)))
        made[first : first + len(at)] = (padded[taps + half] * weights).sum(axis=1)
    return made


def check_sound(window: AudioWindow) -> None:
    """Raises InputError for what is no sound, or too long a one, before anything is computed of it."""
    if not 1 <= window.rate_hz <= MAX_RATE_HZ:
        raise InputError(f"sound of {window.rate_hz} samples a second", f"give 1 to {MAX_RATE_HZ} Hz")
    if window.samples.ndim != 1 or not len(window.samples):
        raise InputError("the sound has 0 samples", "record something")
    if window.duration_s > MAX_SOUND_S:
        raise InputError(f"a sound of {window.duration_s:.0f} s is over {MAX_SOUND_S:.0f} s", "give a part of it")
    if not np.isfinite(window.samples).all():
        raise InputError("the sound holds NaN or infinity", "record it again")
