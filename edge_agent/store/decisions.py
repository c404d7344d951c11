"""The decision log: one JSON line per decision and its outcome, bounded by rotation."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from edge_agent.values import plain

SCHEMA = 1


class DecisionLog:
    """Appends lines to `path`; at `max_bytes` the file becomes `path.1` (replacing an older one) and starts anew.

    A line is written with one O_APPEND write, so two agents may share a file. `model` says on each line whose drafts
    these are. Raises OSError.
    """

    def __init__(self, path: Path, max_bytes: int = 10_000_000, model: str = "") -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._stamp = {"schema": SCHEMA, "model": model} if model else {"schema": SCHEMA}

    def append(self, record: dict[str, Any]) -> None:
        """Write one record, with this log's schema number; numbers exactly, so that it can be decided again."""
        line = json.dumps({**self._stamp, **plain(record, exact=True)}, separators=(",", ":"), allow_nan=False) + "\n"
        data = line.encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            size = self.path.stat().st_size
            if size > 0 and size + len(data) > self._max_bytes:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
