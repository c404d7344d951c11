"""From probabilities to beginnings and ends of speech: two thresholds, a shortest stretch, a longest pause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

WINDOW_S = 0.032
HYSTERESIS = 0.15  # so much lower must a probability be to count as silence


class Edge(Enum):
    """What changed with a window."""

    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SpeechRules:
    """`threshold` 0..1 from which a window is speech; `shortest_s`: so long it must last to have begun; `silence_s`: so
    long a pause ends it.
    """

    threshold: float = 0.5
    shortest_s: float = 0.25
    silence_s: float = 0.8


class SpeechGate:
    """Takes a probability a window. A cough is shorter than speech, a pause for breath is not its end."""

    def __init__(self, rules: SpeechRules) -> None:
        self._rules = rules
        self.speaking = False
        self._over_s = 0.0
        self._under_s = 0.0

    def take(self, probability: float) -> Edge | None:
        """The next window's probability; what changed with it."""
        if probability >= self._rules.threshold:
            self._over_s, self._under_s = self._over_s + WINDOW_S, 0.0
        elif probability < self._rules.threshold - HYSTERESIS:
            self._under_s += WINDOW_S
            if not self.speaking:
                self._over_s = 0.0
        if not self.speaking and self._over_s >= self._rules.shortest_s:
            self.speaking = True
            return Edge.BEGAN
        if self.speaking and self._under_s >= self._rules.silence_s:
            self.reset()
            return Edge.ENDED
        return None

    def reset(self) -> None:
        """As before anything was heard."""
        self.speaking, self._over_s, self._under_s = False, 0.0, 0.0
