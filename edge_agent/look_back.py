"""The last frames and the last seconds of sound, so that a question is about the moment it was asked."""

from __future__ import annotations

from collections import deque

import numpy as np

from edge_agent.types import AudioWindow, Frame, Observation

LOOK_BACK_FRAMES = 4
LOOK_BACK_SOUND_S = 2.0


class LookBack:
    """The last frames and the last seconds of sound, so that a question is about the moment it was asked."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque(maxlen=LOOK_BACK_FRAMES)
        self._sound: deque[AudioWindow] = deque()

    def add(self, item: Frame | AudioWindow) -> None:
        if isinstance(item, Frame):
            self._frames.append(item)
            return
        self._sound.append(item)
        while sum(w.duration_s for w in self._sound) - self._sound[0].duration_s >= LOOK_BACK_SOUND_S:
            self._sound.popleft()

    def observe(self, question: str, private: bool, source: str) -> Observation | None:
        """The moment as an observation; None before the first frame."""
        if not self._frames:
            return None
        return Observation(question, self.frames(), self.window(), private=private, source=source)

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()

    def holds(self, frame: Frame) -> bool:
        """Whether this very frame is among the last ones, and has not been forgotten."""
        return any(one is frame for one in self._frames)

    def frames(self) -> tuple[Frame, ...]:
        """The last frames of one size."""
        return tuple(f for f in self._frames if f.pixels.shape == self._frames[-1].pixels.shape)

    def window(self) -> AudioWindow | None:
        """The last seconds of sound of one rate; None without any."""
        rate_hz = self._sound[-1].rate_hz if self._sound else 0
        parts = [w for w in self._sound if w.rate_hz == rate_hz]
        if not parts:
            return None
        return AudioWindow(np.concatenate([w.samples for w in parts]), rate_hz, parts[0].start_s)
