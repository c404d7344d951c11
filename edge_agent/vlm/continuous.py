"""Answers about different things, decoded side by side: one pass makes a token of each; each comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.vlm.answering import Answer
from edge_agent.vlm.batch import Stepper
from edge_agent.vlm.decoder import I64, KeyValueCache
from edge_agent.vlm.session import array_of


@dataclass(slots=True, eq=False)
class Underway:
    """An answer whose prompt was read. `token` is to be read next at `position`, behind `cache`; None: it has ended."""

    answer: Answer
    token: int | None
    position: int
    cache: KeyValueCache | None = field(repr=False)


class ContinuousBatch:
    """The answers that are under way. Shorter caches are padded in front, where the mask hides it. An answer that was
    alone from its beginning goes on by itself: its cache is not copied.

    The cache of all takes (longest of them) x (their number). It is copied once before a step for all that came and
    went since the last.
    """

    def __init__(self, decoder: Stepper) -> None:
        self._decoder = decoder
        self._cache = KeyValueCache((), 0)
        self._mask: I64 = np.zeros((0, 0), dtype=np.int64)  # [b, length]
        self._rows: list[Underway] = []  # whose rows of cache and mask these are
        self.lanes: list[Underway] = []

    def add(self, one: Underway) -> None:
        """Let `one`, which has not ended, go on with the others; its cache is taken."""
        assert one.token is not None
        assert one.cache is not None
        self.lanes.append(one)

    def keep(self, wanted: Callable[[Underway], bool]) -> None:
        """Let those go that are not `wanted`."""
        self.lanes = [one for one in self.lanes if wanted(one)]
        if not self.lanes:
            self._cache, self._mask, self._rows = KeyValueCache((), 0), self._mask[:0, :0], []

    def step(self) -> None:
        """One more token of each; those that end by it leave."""
        if len(self.lanes) == 1 and self.lanes[0].cache is not None:
            self._alone(self.lanes[0], self.lanes[0].cache)
            return
        self._arrange()
        ids = [one.token for one in self.lanes if one.token is not None]
        positions: I64 = np.array([[one.position] for one in self.lanes], dtype=np.int64)  # [b, 1]
        mask = np.concatenate([self._mask, np.ones((len(ids), 1), dtype=np.int64)], axis=1)
        logits, cache = self._decoder.step_all(self._decoder.embed(ids)[:, None], positions, mask, self._cache)
        self._cache, self._mask = cache, mask
        for one, row in zip(self.lanes, logits, strict=True):
            more = one.answer.take(row)
            one.token, one.position = (more[0] if more else None), one.position + 1
        self.keep(lambda one: one.token is not None)

    def _alone(self, one: Underway, cache: KeyValueCache) -> None:
        assert one.token is not None
        logits, one.cache = self._decoder.next(one.token, one.position, cache)
        more = one.answer.take(logits)
        one.token, one.position = (more[0] if more else None), one.position + 1
        self.keep(lambda lane: lane.token is not None)

    def _arrange(self) -> None:
        """Bring cache and mask to those who are here now, without padding that nobody needs."""
        if self.lanes == self._rows:
            return
        own = {id(one): at for at, one in enumerate(self._rows)}
        stay = [own[id(one)] for one in self.lanes if id(one) in own]
        fresh = [one.cache for one in self.lanes if one.cache is not None and id(one) not in own]
        first = int(self._mask[stay].any(axis=0).argmax()) if stay else 0
        lengths = [one.length for one in fresh] + ([self._cache.length - first] if stay else [])
        length = max(lengths)
        olds = [array_of(one)[:, :, first:] for one in self._cache.tensors] if stay else [None] * len(fresh[0].tensors)
        made = tuple(
            _stacked(old, stay, [array_of(one.tensors[at]) for one in fresh], length) for at, old in enumerate(olds)
        )
        mask: I64 = np.zeros((len(self.lanes), length), dtype=np.int64)
        if stay:
            mask[: len(stay), length - lengths[-1] :] = self._mask[stay, first:]
        for at, cache in enumerate(fresh, len(stay)):
            mask[at, length - cache.length :] = 1
        self._cache, self._mask, self._rows = KeyValueCache(made, length), mask, list(self.lanes)
        for one in self.lanes:
            one.cache = None


def _stacked(old: NDArray[Any] | None, rows: list[int], fresh: list[NDArray[Any]], length: int) -> NDArray[Any]:
    """[b, heads, length, width]: `rows` of `old`, then each of `fresh` [1, heads, its length, width], at the end."""
    like = fresh[0] if old is None else old
    made = np.zeros((len(rows) + len(fresh), like.shape[1], length, like.shape[3]), dtype=like.dtype)
    if old is not None:
        made[: len(rows), :, length - old.shape[2] :] = old[rows]
    for at, one in enumerate(fresh, len(rows)):
        made[at, :, length - one.shape[2] :] = one[0]
    return made
