"""Statistics of a stream of sound, one set an STFT frame."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_agent.features.kernels import choose
from edge_agent.types import F32, SoundFeatures

WINDOW = 512
HOP = 160

_FIELDS = tuple(SoundFeatures.__dataclass_fields__)


class StreamedSoundFeatures(SoundFeatures):
    """Sound features that fill in their fields when first asked for one.

    With one hop a call, making five arrays and setting nine fields would take longer than computing the features. Its
    `summary` is None.
    """

    __slots__ = ("_source",)

    _source: tuple[tuple[int, int, int], F32]  # rate, window and hop; the features [5, frames]

    def __getattr__(self, name: str) -> Any:  # called where a field is not filled in
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        settings, rows = self._source
        for field, value in zip(_FIELDS, (*settings, *rows, None), strict=True):
            object.__setattr__(self, field, value)
        return object.__getattribute__(self, name)


_new = object.__new__
_set_source = StreamedSoundFeatures.__dict__["_source"].__set__


class _Feeding(NamedTuple):
    """The stream that takes what comes in at one rate; rate 0: that of whatever comes next."""

    rate_hz: int
    feed: Callable[[Any], F32]
    reset: Callable[[], None]
    settings: tuple[int, int, int]


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
        self._lock = threading.Lock()
        self._feeding = self._at(0)

    def feed(self, samples: NDArray[np.float32] | NDArray[np.int16], rate_hz: int) -> SoundFeatures:
        """Take in [N] mono float32 or int16 samples. Another rate than before starts a new stream.

        ValueError, with nothing taken in, where a sample is NaN, infinite or beyond +-2**20, where the array is not
        contiguous [N], or where `rate_hz` < 1; TypeError for another dtype.
        """
        known_hz, feed, _, settings = self._feeding
        if rate_hz != known_hz or rate_hz < 1:
            return self._start(samples, rate_hz)
        features = _new(StreamedSoundFeatures)
        _set_source(features, (settings, feed(samples)))
        return features

    def _start(self, samples: NDArray[np.float32] | NDArray[np.int16], rate_hz: int) -> SoundFeatures:
        """Feed the first chunk at this rate."""
        if rate_hz < 1:
            raise ValueError(f"rate_hz must be at least 1, not {rate_hz}")
        with self._lock:
            feeding = self._feeding
            if feeding.rate_hz not in (0, rate_hz):  # another thread may have come first
                feeding = self._at(rate_hz)
            feeding = feeding._replace(rate_hz=rate_hz, settings=(rate_hz, self._window, self._hop))
            rows = feeding.feed(samples)  # [5, frames] float32
            self._feeding = feeding
        return SoundFeatures(*feeding.settings, *rows)

    def _at(self, rate_hz: int) -> _Feeding:
        stream = self._kernels.sound_stream(self._window, self._hop)
        return _Feeding(rate_hz, stream.feed, stream.reset, (rate_hz, self._window, self._hop))

    def reset(self) -> None:
        """Forget everything fed so far."""
        with self._lock:
            self._feeding.reset()
            self._feeding = self._feeding._replace(rate_hz=0)


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
