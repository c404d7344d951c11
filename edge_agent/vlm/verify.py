"""A drafted answer, read in one pass with its prompt: what the decoder would say after each of its tokens is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.types import F32
from edge_agent.vlm.decoder import Decoder, KeyValueCache
from edge_agent.vlm.session import array_of


def worth_reading(draft: Sequence[int], limit: int, vocab: int, ends: Sequence[int]) -> tuple[int, ...]:
    """The first of `draft`'s tokens: at most `limit`, all of the vocabulary, none from an end token on, which nothing
    follows that would have to be known.
    """
    made: list[int] = []
    for token in draft[:limit]:
        if not 0 <= token < vocab or token in ends:
            break
        made.append(token)
    return tuple(made)


class Ahead:
    """What one pass over `rows` [t, hidden] of a prompt at `positions` and a draft of n tokens behind them has shown.

    `logits` [vocab] are those after the prompt. As long as the answer goes as the draft did, `after` knows the next
    ones; then `cache` is that of the prompt and the tokens that stand. `whole` has read all of the draft.
    """

    def __init__(
        self, decoder: Decoder, rows: F32, positions: Sequence[int], behind: KeyValueCache, draft: Sequence[int]
    ) -> None:
        embeds = np.concatenate([rows, decoder.embed(list(draft))])  # [t + n, hidden]
        after = positions[-1] + 1
        at = np.asarray([[*positions, *range(after, after + len(draft))]], dtype=np.int64)
        mask = np.ones((1, behind.length + len(embeds)), dtype=np.int64)
        made, self.whole = decoder.read(embeds[None], at, mask, behind)  # [1, t + n, vocab]
        self._rows: F32 = made[0, len(rows) - 1 :].astype(np.float32, copy=False)  # [1 + n, vocab]
        self._draft = draft
        self._begin = behind.length + len(rows)
        self.accepted = 0

    @property
    def logits(self) -> F32:
        first: F32 = self._rows[0]
        return first

    def after(self, ids: Sequence[int]) -> F32 | None:
        """The logits after the tokens so far and `ids`, the next; None where the draft went another way, or ended."""
        if self.accepted == len(self._draft) or list(ids) != [self._draft[self.accepted]]:
            return None
        self.accepted += 1
        row: F32 = self._rows[self.accepted]
        return row

    def cache(self) -> KeyValueCache:
        """That of the prompt and of the accepted tokens."""
        length = self._begin + self.accepted
        if length == self.whole.length:
            return self.whole
        cut = tuple(np.ascontiguousarray(array_of(one)[:, :, :length]) for one in self.whole.tensors)
        return KeyValueCache(cut, length)
