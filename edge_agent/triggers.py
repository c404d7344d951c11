"""When a watching agent asks by itself: on change, sound onset, speech, interval. Pure rules behind one rate cap."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from edge_agent.config import TriggerSettings
from edge_agent.types import MotionFeatures, SoundFeatures

MEDIAN_CHUNKS = 50  # about five seconds of sound in chunks of 0.1 s
FLUX_FLOOR = 1e-3  # of flux: silence has a median of zero, and zero times any ratio fires on nothing


@dataclass(frozen=True, slots=True)
class Firing:
    """A trigger that fired: which, and the number that crossed its threshold."""

    trigger: str
    value: float
    at_s: float


class Triggers:
    """All rules behind one rate cap. Times are those of the stream, so a clip fires the same at any speed."""

    def __init__(self, settings: TriggerSettings) -> None:
        self._settings = settings
        self._fired_s: float | None = None
        self._interval_from_s: float | None = None
        self._flux: deque[float] = deque(maxlen=MEDIAN_CHUNKS)

    def change(self, settings: TriggerSettings) -> None:
        """Other rules from now on; what is usual here stays known."""
        self._settings = settings

    def frame(self, motion: MotionFeatures, at_s: float) -> Firing | None:
        """Look at a frame's motion: fires on the first frame, on change, and when the interval is over."""
        first = self._interval_from_s is None
        if first:
            self._interval_from_s = at_s
        changed = self._settings.on_change and motion.valid and motion.changed_share >= self._settings.changed_share
        if changed or (first and self._settings.on_change):
            return self._fire("change", motion.changed_share, at_s)
        waited_s = at_s - (self._interval_from_s or 0.0)
        if not 0 < self._settings.interval_s <= waited_s:
            return None
        firing = self._fire("interval", waited_s, at_s)
        if firing is not None:  # else the rate cap holds it back, and the next frame tries again
            self._interval_from_s = at_s
        return firing

    def sound(self, sound: SoundFeatures, at_s: float) -> Firing | None:
        """Look at a chunk of sound: fires when its largest flux stands out of the running median."""
        if len(sound.flux) == 0:
            return None
        peak = float(sound.flux.max())
        usual = max(FLUX_FLOOR, median(self._flux)) if self._flux else FLUX_FLOOR
        warm = len(self._flux) >= 3  # the first chunks only show what is usual here
        self._flux.append(peak)
        if self._settings.on_sound and warm and peak >= self._settings.onset_ratio * usual:
            return self._fire("sound", peak / usual, at_s)
        return None

    def speech(self, probability: float, at_s: float) -> Firing | None:
        """Somebody began to speak."""
        return self._fire("speech", probability, at_s)

    def _fire(self, trigger: str, value: float, at_s: float) -> Firing | None:
        if self._fired_s is not None and 0 <= at_s - self._fired_s < self._settings.min_gap_s:
            return None
        self._fired_s = at_s
        return Firing(trigger, value, at_s)
