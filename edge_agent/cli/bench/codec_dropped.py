"""Pruning for `bench codec`: the codec `refilled` at each share, and beside it the same without anything stored."""

from __future__ import annotations

import numpy as np

from edge_agent.transport.codecs import Codec, learned_codecs
from edge_agent.transport.refilled import Medians, Refilled

REFILLED = "refilled"
SHARES = (0.5, 0.25)


def pruned(encoder_id: str) -> dict[str, Codec]:
    """By the names of their rows; none where this process has no medians of that encoder. What fills in nothing but
    zeros travels nowhere.
    """
    found: dict[str, Codec] = {}
    for codec in learned_codecs(Refilled, encoder_id)[:1]:
        medians = codec.medians
        nothing = Refilled(Medians("none", medians.encoder_id, np.zeros_like(medians.data)))
        for share in SHARES:
            found[f"{REFILLED}/{round(100 * share)}"] = codec.at(share)
            found[f"dropped/{round(100 * share)}"] = nothing.at(share)
    return found
