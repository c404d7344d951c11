"""How sure an answer is: from the probability and entropy of its tokens to one calibrated number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_agent.types import Generation, TokenEvent
from edge_agent.vlm.manifest import Calibration

_EDGE = 1e-6


def confidence(events: Sequence[TokenEvent], calibration: Calibration) -> float:
    """0..1: how likely the answer is right, from its least likely and its least certain token; 0 for no token."""
    if not events:
        return 0.0
    least = min(max(min(event.probability for event in events), _EDGE), 1 - _EDGE)
    most = max(event.entropy for event in events)
    score = (
        calibration.bias
        + calibration.probability_weight * math.log(least / (1 - least))
        + calibration.entropy_weight * most
    )
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))


def summarise(events: Sequence[TokenEvent], calibration: Calibration, question: str | None = None) -> Generation:
    """The whole answer: its text, confidence, largest token entropy, tokens without the end token, and why it ended.
    With the `question` also what asking the cloud would gain, where the calibration can tell.

    `finish_reason` is "stop" after an end token, "length" otherwise (the token limit was reached or it was cancelled).
    """
    gain = calibration.gain if question is not None else None
    ended = bool(events) and events[-1].token_id in calibration.eos_token_ids
    return Generation(
        text="".join(event.text for event in events).strip(),
        confidence=confidence(events, calibration),
        max_entropy=max((event.entropy for event in events), default=1.0),
        tokens=len(events) - ended,
        finish_reason="stop" if ended else "length",
        token_ids=tuple(event.token_id for event in events),
        expected_gain=gain.expected(question, events) if gain is not None and question is not None else None,
    )
