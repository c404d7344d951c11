"""How fast this machine is at this moment, against the minutes in which the table's times were taken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_agent.sim.table import MeasuredTable
from edge_agent.sources.photo import load_photo
from edge_agent.store.models import find_bundle
from edge_agent.vlm import Bundle, Generator, open_vision

PROFILE = "edge-1t"


class Speed:
    """Encodes and prompts pictures of the table as its profile `edge-1t` did. `asked`: (photo, question, row) each."""

    def __init__(self, table: MeasuredTable, asked: Sequence[tuple[Path, str, int]]) -> None:
        bundle = Bundle.open(find_bundle("edge-vqa"))
        self._eyes, self._mind = open_vision(bundle, 1), Generator(bundle, threads=1)
        columns = table.columns[PROFILE]
        self._asked = [(load_photo(path).pixels, question) for path, question, _ in asked]
        rows = [row for *_, row in asked]
        self._table_ms = columns.encode_ms[rows] + columns.prefill_ms[rows]

    def now(self) -> float:
        """How many times longer it takes than the table says, the median over the pictures."""
        took_ms = []
        for pixels, question in self._asked:
            self._mind.forget()
            started = time.perf_counter()
            next(self._mind.stream(self._eyes.look(pixels), question, max_new_tokens=1), None)
            took_ms.append(1000.0 * (time.perf_counter() - started))
        return float(np.median(np.array(took_ms) / self._table_ms))
