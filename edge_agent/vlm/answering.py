"""One answer as it grows: from the logits of each step to its token, its event, and whether it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.types import F32, TokenEvent
from edge_agent.vlm.choice import Picker
from edge_agent.vlm.confidence import token_statistics

MAX_REPEATS = 3


def looping(ids: Sequence[int]) -> bool:
    """Whether the last MAX_REPEATS tokens are one and the same: a small model that does not know may never stop."""
    return len(ids) >= MAX_REPEATS and len(set(ids[-MAX_REPEATS:])) == 1


class Text(Protocol):
    """What tokens say: `add` gives the text that one more is sure to add, `end` what was held back."""

    stopped: bool

    def add(self, token: int) -> str: ...

    def end(self) -> str: ...


class Guide(Protocol):
    """Which tokens may come next, and when nothing may: an answer of a given form."""

    def allow(self, logits: F32) -> F32:
        """The logits with -inf for what may not come."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """`limit` most tokens; `ends` the tokens that end; `stops_loops`: also before a token repeats; `temperature` of the
    probabilities that are reported.
    """

    limit: int
    ends: tuple[int, ...]
    stops_loops: bool
    temperature: float


class Answering:
    """Takes the logits of one answer. `events` are its tokens so far; the end token is the last, with empty text."""

    def __init__(self, rules: Rules, picker: Picker, text: Text, guide: Guide | None = None) -> None:
        self._rules = rules
        self._picker = picker
        self._text = text
        self._guide = guide
        self._ids: list[int] = []
        self.events: list[TokenEvent] = []

    def take(self, logits: F32) -> int | None:
        """The token that follows `logits` [vocab], to be read next; None where the answer has ended."""
        rules = self._rules
        allowed = logits if self._guide is None else self._guide.allow(logits)
        token = self._picker.pick(allowed)
        probability, entropy = token_statistics(logits, token, rules.temperature)
        if token in rules.ends:
            self.events.append(TokenEvent(token, self._text.end(), probability, entropy))
            return None
        self._ids.append(token)
        if rules.stops_loops and looping(self._ids):
            return None
        words = self._text.add(token)
        last = len(self._ids) == rules.limit or self._text.stopped
        self.events.append(TokenEvent(token, words + self._text.end() if last else words, probability, entropy))
        return None if last else token
