"""Which token comes next: the likeliest one, or one drawn by temperature and nucleus from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_agent import _core
from edge_agent.errors import ModelError, UsageError
from edge_agent.types import F32
from edge_agent.vlm.manifest import VERIFY

MAX_TEMPERATURE = 5.0


@dataclass(frozen=True, slots=True)
class Choice:
    """`temperature` 0: always the likeliest token. Above, a token is drawn from softmax(logits / temperature), among
    the fewest likely ones that hold `top_p` of it together. Equal `seed`s draw equally.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise UsageError(f"a temperature of {self.temperature:g}", f"give 0 to {MAX_TEMPERATURE:g}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"a top_p of {self.top_p:g}", "give more than 0, at most 1")
        if self.seed < 0:
            raise UsageError(f"a seed of {self.seed}", "give 0 or more")


GREEDY = Choice()


class Picker:
    """Draws the tokens of one answer."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        drawing = choice.temperature > 0  # else no generator: making one costs as much as ten tokens
        self._random = np.random.default_rng(choice.seed) if drawing else None

    def take(self, logits: F32, temperature: float) -> tuple[int, float, float]:
        """A token by its `logits` [vocab], its probability, and the entropy of all over log(vocab), both at
        `temperature` and 0..1. Raises ModelError where a logit is no number.
        """
        try:
            return _core.token_statistics(logits, temperature, None if self._random is None else self.pick(logits))
        except ValueError as error:
            raise ModelError(f"the decoder gave no usable numbers ({error})", VERIFY) from error

    def pick(self, logits: F32) -> int:
        """A token by its `logits` [vocab]; -inf is never picked as long as one is finite."""
        if self._random is None:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self._choice.temperature
        odds = np.exp(scaled - scaled.max())
        odds /= odds.sum()
        order = np.argsort(-odds, kind="stable")
        held = np.cumsum(odds[order])
        kept = order[: int(np.searchsorted(held, self._choice.top_p * held[-1])) + 1]
        share = odds[kept] / odds[kept].sum()
        drawn = int(np.searchsorted(np.cumsum(share), self._random.random(), side="right"))
        return int(kept[min(len(kept) - 1, drawn)])
