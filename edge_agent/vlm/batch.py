"""Several questions about the same picture, answered side by side: one pass of the decoder serves all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_agent.types import F32
from edge_agent.vlm.decoder import I64, Decoder, KeyValueCache


class Stepper(Protocol):
    """What decoding side by side uses of a Decoder."""

    @property
    def embed(self) -> Callable[[list[int]], F32]: ...

    def next(self, token_id: int, position: int, cache: KeyValueCache) -> tuple[F32, KeyValueCache]: ...

    def step_all(
        self, embeds: F32, positions: I64, mask: I64, cache: KeyValueCache, lengths: list[int] | None = None
    ) -> tuple[F32, KeyValueCache]: ...


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the questions: its rows of text [t, hidden] from position `start` on. `take` is given the logits [vocab]
    and says the token to read next in a list, an empty one once the answer has ended.
    """

    rows: F32
    start: int
    take: Callable[[F32], list[int]]


def run_lanes(decoder: Decoder, cache: KeyValueCache, lanes: Sequence[Lane], cancelled: Callable[[], bool]) -> None:
    """Reads all `lanes` behind `cache`, that of one question, until each has ended or `cancelled` says so.

    Shorter questions are padded behind their text, where nobody looks: the mask hides it, positions leave it out.
    """
    open_lanes = list(lanes)
    lengths = [len(lane.rows) for lane in open_lanes]
    embeds = np.zeros((len(lanes), max(lengths), lanes[0].rows.shape[1]), dtype=np.float32)  # [b, t, hidden]
    seen: I64 = np.zeros((len(lanes), max(lengths)), dtype=np.int64)  # [b, t]
    for at, lane in enumerate(open_lanes):
        embeds[at, : len(lane.rows)] = lane.rows
        seen[at, : len(lane.rows)] = 1
    positions: I64 = np.array([lane.start for lane in open_lanes], dtype=np.int64)[:, None] + np.arange(max(lengths))
    mask: I64 = np.concatenate([np.ones((len(lanes), cache.length), dtype=np.int64), seen], axis=1)
    after = np.array([lane.start + len(lane.rows) for lane in open_lanes], dtype=np.int64)  # [b] next positions
    logits, wide = decoder.step_all(embeds, positions, mask, decoder.spread(cache, len(lanes)), lengths)
    while open_lanes:
        tokens = [lane.take(row) for lane, row in zip(open_lanes, logits, strict=True)]
        kept = [at for at, more in enumerate(tokens) if more]
        if not kept or cancelled():
            return
        if len(kept) < len(open_lanes):
            open_lanes = [open_lanes[at] for at in kept]
            wide, mask, after = decoder.chosen(wide, kept), mask[kept], after[kept]
        next_ids = [more[0] for more in tokens if more]
        mask = np.concatenate([mask, np.ones((len(kept), 1), dtype=np.int64)], axis=1)
        logits, wide = decoder.step_all(decoder.embed(next_ids)[:, None], after[:, None], mask, wide)
        after = after + 1
