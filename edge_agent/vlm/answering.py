"""One answer as it grows: from the logits of each step to its token, its event, and whether it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.types import F32, TokenEvent
from edge_agent.vlm.choice import Picker


def looping(ids: Sequence[int]) -> bool:
    """Whether the last three tokens are one and the same: a small model that does not know may never stop."""
    return len(ids) >= 3 and ids[-1] == ids[-2] == ids[-3]


class Text(Protocol):
    """What tokens say: `add` gives the text that one more is sure to add, `end` what was held back."""

    stopped: bool

    def add(self, token: int) -> str: ...

    def end(self) -> str: ...


class Guide(Protocol):
    """The form that an answer must have; see guided.JsonGuide."""

    @property
    def done(self) -> bool: ...

    def allow(self, logits: F32) -> F32 | None: ...

    def add(self, token: int) -> str: ...

    def forced(self) -> str: ...

    def close(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """`limit` most tokens; `ends` the tokens that end; `stops_loops`: also before a token repeats; `temperature` of the
    probabilities that are reported.
    """

    limit: int
    ends: tuple[int, ...]
    stops_loops: bool
    temperature: float


class Answer(Protocol):
    """One answer. `take` is given the logits [vocab] of a step and says which tokens to read next, none where it has
    ended. `events` are its tokens so far; the end token is the last, with empty text.
    """

    events: list[TokenEvent]

    def take(self, logits: F32) -> list[int]: ...


class FreeAnswer:
    """An answer in whatever words come."""

    def __init__(self, rules: Rules, picker: Picker, text: Text) -> None:
        self._rules = rules
        self._picker = picker
        self._text = text
        self._ids: list[int] = []
        self.events: list[TokenEvent] = []

    def take(self, logits: F32) -> list[int]:
        return self.add(*self._picker.take(logits, self._rules.temperature))

    def add(self, token: int, probability: float, entropy: float) -> list[int]:
        """The same for a token that was chosen elsewhere."""
        rules = self._rules
        if token in rules.ends:
            self.events.append(TokenEvent(token, self._text.end(), probability, entropy))
            return []
        self._ids.append(token)
        if rules.stops_loops and looping(self._ids):
            return []
        words = self._text.add(token)
        last = len(self._ids) == rules.limit or self._text.stopped
        self.events.append(TokenEvent(token, words + self._text.end() if last else words, probability, entropy))
        return [] if last else [token]


class GuidedAnswer:
    """An answer of a given form. What the form leaves no choice about is written and read without asking the model;
    where the limit of tokens comes first, the shortest end of the form is written instead of the rest.
    """

    def __init__(self, rules: Rules, picker: Picker, guide: Guide, encode: Callable[[str], list[int]]) -> None:
        self._rules = rules
        self._picker = picker
        self._guide = guide
        self._encode = encode
        self._begun = ""
        self.events: list[TokenEvent] = []

    def take(self, logits: F32) -> list[int]:
        rules, guide = self._rules, self._guide
        if not self.events and not self._begun:
            self._begun = guide.forced()
            if self._begun and not guide.done:
                return self._encode(self._begun)
        allowed = None if guide.done else guide.allow(logits)
        if allowed is None:
            self.events.append(TokenEvent(rules.ends[0], self._first() + guide.close(), 1.0, 0.0))
            return []
        token, probability, entropy = self._picker.take(allowed, rules.temperature)
        if token in rules.ends:
            self.events.append(TokenEvent(token, self._first(), probability, entropy))
            return []
        first, said, forced = self._first(), guide.add(token), guide.forced()
        ended = guide.done
        rest = guide.close() if not ended and len(self.events) + 1 >= rules.limit else ""
        self.events.append(TokenEvent(token, first + said + forced + rest, probability, entropy))
        return [] if ended or rest or len(self.events) >= rules.limit else [token, *self._encode(forced)]

    def _first(self) -> str:
        """What was written before the first token of the model."""
        return "" if self.events else self._begun
