"""What asking the cloud would gain, predicted from the device's own answer by the model of the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.types import TokenEvent

YES_OR_NO = ("is", "are", "do", "does", "can")
PLAIN_FEATURES = 4  # one, logit of the least token probability, largest token entropy, whether it asks yes or no
MAX_CUES = 256
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class GainModel:
    """Two logistic models of the same features: that the cloud is right where the device is wrong (`helps`), and the
    other way round (`harms`). A weight each for PLAIN_FEATURES, then one for each of `cues`, phrases that the
    lower-case question may hold. tools/train/gain.py fits them.
    """

    cues: tuple[str, ...]
    helps: tuple[float, ...]
    harms: tuple[float, ...]

    @classmethod
    def from_manifest(cls, raw: Mapping[str, Any]) -> GainModel:
        """Reads `calibration.gain`. Raises KeyError, TypeError or ValueError where it is none."""
        cues = tuple(str(cue) for cue in raw["cues"])
        made = cls(cues, tuple(float(w) for w in raw["helps"]), tuple(float(w) for w in raw["harms"]))
        if len(cues) > MAX_CUES or {len(made.helps), len(made.harms)} != {PLAIN_FEATURES + len(cues)}:
            raise ValueError(f"gain has {len(cues)} cues, {len(made.helps)} and {len(made.harms)} weights")
        if not all(map(math.isfinite, (*made.helps, *made.harms))):
            raise ValueError("gain has a weight that is no number")
        return made

    def expected(self, question: str, events: Sequence[TokenEvent]) -> float:
        """-1..1: by how many right answers a question the cloud would do better than the answer of `events`.

        No token counts as the least sure one.
        """
        lower = question.lower()
        least = min((event.probability for event in events), default=0.0)
        least = min(max(least, _EDGE), 1 - _EDGE)
        features = [
            1.0,
            math.log(least / (1 - least)),
            max((event.entropy for event in events), default=1.0),
            float(lower.split(" ", 1)[0] in YES_OR_NO),
            *(float(cue in lower) for cue in self.cues),
        ]
        return _probability(features, self.helps) - _probability(features, self.harms)


def _probability(features: Sequence[float], weights: Sequence[float]) -> float:
    score = sum(x * w for x, w in zip(features, weights, strict=True))
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))
