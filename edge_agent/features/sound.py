"""Statistics of a stream of sound, one set an STFT frame."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from edge_agent.features.kernels import choose
from edge_agent.types import SoundFeatures

WINDOW = 512
HOP = 160


class SoundFeatureStream:
    """Features of consecutive chunks of one stream; what they are does not depend on where the chunks were cut.

    Frame f covers the samples [f * hop, f * hop + window) since the start: a chunk gives features only for the frames
    that it completes. `window` a power of two from 32 to 8192, `hop` from 1 to 2**20 samples. Safe to use from
    several threads, one chunk after the other.
    """

    def __init__(self, window: int = WINDOW, hop: int = HOP, *, isa: str | None = None) -> None:
        self._window = window
        self._hop = hop
        self._kernels = choose(isa)
        self._stream = self._kernels.sound_stream(window, hop)
        self._rate_hz = 0
        self._lock = threading.Lock()

    def feed(self, samples: NDArray[np.float32] | NDArray[np.int16], rate_hz: int) -> SoundFeatures:
        """Take in [N] mono float32 or int16 samples. Another rate than before starts a new stream.

        ValueError, with nothing taken in, where a sample is NaN, infinite or beyond +-2**20, where the array is not
        contiguous [N], or where `rate_hz` < 1; TypeError for another dtype.
        """
        if rate_hz < 1:
            raise ValueError(f"rate_hz must be at least 1, not {rate_hz}")
        with self._lock:
            same = rate_hz == self._rate_hz
            stream = self._stream if same else self._kernels.sound_stream(self._window, self._hop)
            rows = stream.feed(samples)  # [5, frames] float32
            self._stream, self._rate_hz = stream, rate_hz
        return SoundFeatures(rate_hz, self._window, self._hop, *rows)

    def reset(self) -> None:
        """Forget everything fed so far."""
        with self._lock:
            self._stream.reset()
            self._rate_hz = 0


def sound_features(
    samples: NDArray[np.float32] | NDArray[np.int16],
    rate_hz: int,
    *,
    window: int = WINDOW,
    hop: int = HOP,
    isa: str | None = None,
) -> SoundFeatures:
    """Features of one stretch of sound on its own: as the first chunk of a stream."""
    return SoundFeatureStream(window, hop, isa=isa).feed(samples, rate_hz)
