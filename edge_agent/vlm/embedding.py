"""Token ids to the decoder's rows: by the graph, or by its table where that is small enough to be held instead."""

from __future__ import annotations

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.types import F32
from edge_agent.vlm.bundle import EMBED, Bundle
from edge_agent.vlm.manifest import verify_hint
from edge_agent.vlm.session import check_nodes, open_session, run

TABLE_BYTES = 16 << 20


class TokenEmbedding:
    """Opens the graph of `bundle`; a table [vocab, hidden] of at most TABLE_BYTES is read out of it once into `table`,
    and the graph closed: a run that looks one row up costs a hundred times the look-up, for each token of each answer.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        path, size, width = bundle.graph(EMBED), bundle.vocab_size, bundle.hidden_size
        self._session = open_session(path, threads, bundle.providers)
        self.table: F32 | None = None
        check_nodes(self._session, path, ("input_ids",), ("inputs_embeds",))
        small = size * width * 4 <= TABLE_BYTES
        try:
            rows = self._run(range(size) if small else [size - 1])
        except ModelError as error:
            words = f"{path} has fewer than the {size} rows of config.json"
            raise ModelError(words, verify_hint(bundle.path)) from error
        if rows.shape[1] != width:
            raise ModelError(f"{path} is {rows.shape[1]} wide, the model {width}", verify_hint(bundle.path))
        if small:
            self.table = rows
            del self._session

    def __call__(self, ids: list[int]) -> F32:
        """[t, hidden] float32, a new array."""
        return self._run(ids) if self.table is None else self.table[ids]

    def _run(self, ids: range | list[int]) -> F32:
        feeds = {"input_ids": np.asarray([ids], dtype=np.int64)}
        (made,) = run(self._session, ["inputs_embeds"], feeds, "the token embedding")
        rows: F32 = made[0].astype(np.float32, copy=False)
        return rows
