"""The decision log: one JSON line per decision and its outcome, bounded by rotation at a size and an age."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

from edge_agent.values import plain

SCHEMA = 2  # 1 wrote arrays as lists of numbers
READABLE = (1, SCHEMA)
MAX_FIRST_LINE = 4_000_000


class DecisionLog:
    """Appends lines to `path`; at `max_bytes`, or when its first line is `max_age_s` old, the file becomes `path.1`
    (replacing an older one) and starts anew. A `path.1` that was last written so long ago is deleted.

    A line is written with one O_APPEND write, so two agents may share a file; a line that a full disk cuts is taken
    back. `model` says on each line whose drafts these are. Raises OSError.
    """

    def __init__(self, path: Path, max_bytes: int = 10_000_000, model: str = "", max_age_s: float = math.inf) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._stamp = {"schema": SCHEMA, "model": model} if model else {"schema": SCHEMA}
        self._began: tuple[int, float] | None = None  # of the file with this inode: the time of its first line

    def append(self, record: dict[str, Any]) -> None:
        """Write one record, with this log's schema number; numbers exactly, so that it can be decided again. Its
        `time_s`, if there is one, tells how old the log is.
        """
        line = json.dumps({**self._stamp, **plain(record, exact=True)}, separators=(",", ":"), allow_nan=False) + "\n"
        data = line.encode()
        self._rotate(len(data), record.get("time_s"))
        handle = self._opened()
        try:
            written = os.write(handle, data)
            if written < len(data):
                end = os.fstat(handle).st_size
                if os.lseek(handle, 0, os.SEEK_CUR) == end:  # nobody else has written since
                    os.ftruncate(handle, end - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        finally:
            os.close(handle)

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def _rotate(self, more_bytes: int, now_s: Any) -> None:
        older = self.path.with_name(self.path.name + ".1")
        with contextlib.suppress(FileNotFoundError):
            status = self.path.stat()
            full = status.st_size > 0 and status.st_size + more_bytes > self._max_bytes
            if full or (isinstance(now_s, float) and now_s - self._first_s(status, now_s) > self._max_age_s):
                self.path.replace(older)
        if isinstance(now_s, float) and self._max_age_s < math.inf:
            with contextlib.suppress(FileNotFoundError):
                if now_s - older.stat().st_mtime > self._max_age_s:
                    older.unlink()

    def _first_s(self, status: os.stat_result, now_s: float) -> float:
        """When the present file began; `now_s` where its first line does not say."""
        if self._began is None or self._began[0] != status.st_ino or status.st_size == 0:
            self._began = (status.st_ino, now_s)
            with contextlib.suppress(ValueError, TypeError, AttributeError), self.path.open("rb") as lines:
                self._began = (status.st_ino, float(json.loads(lines.readline(MAX_FIRST_LINE)).get("time_s")))
        return self._began[1]
