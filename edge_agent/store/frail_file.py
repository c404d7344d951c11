"""An SQLite file on a disk that may fill up, fail or lose bytes: each costs what it touches, never the program."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

PAGE_BYTES = 4096
LOCK_WAIT_S = 1.0
FAULTS = (sqlite3.Error, UnicodeDecodeError)  # the latter where SQLite quotes damaged bytes in an error
log = logging.getLogger(__name__)
T = TypeVar("T")


class FrailFile:
    """SQLite at `path` (WAL, every commit synced) with the tables of `schema` of a `version`; the log calls it `what`.
    It grows to little more than `max_bytes`. Any thread may use it.

    Opening raises OSError or sqlite3.Error where there can be none. A file that is no database any more is moved aside
    as `NAME.damaged`, and a new one begun.
    """

    def __init__(self, path: Path, what: str, schema: str, version: int, max_bytes: int) -> None:
        self.path = path
        self._what = what
        self._schema = schema
        self._version = version
        self._max_pages = (max_bytes + max_bytes // 4 + (1 << 20)) // PAGE_BYTES
        self._lock = threading.Lock()
        self._complained = False
        self.db: sqlite3.Connection | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = self._open()
        except FAULTS as error:
            if not _ruined(error):
                raise
            self._move_aside(error)
            self.db = self._open()

    def guarded(self, work: Callable[[sqlite3.Connection], T], instead: T) -> T:
        """`work` in one immediate transaction; `instead` where the disk does not take it."""
        with self._lock:
            try:
                if self.db is None:
                    self.db = self._open()
                with _transaction(self.db) as db:
                    result = work(db)
            except FAULTS as error:
                if _ruined(error):
                    self._move_aside(error)
                elif not self._complained:
                    log.warning("%s %s cannot be used: %s", self._what, self.path, error)
                self._complained = True
                return instead
            self._complained = False
            return result

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._lock:
            if self.db is not None:
                self.db.close()
            self.db = None

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
        db.text_factory = lambda data: data.decode("utf-8", "replace")  # a damaged name must not stop the reading
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA journal_size_limit = {1 << 20}")
            db.execute(f"PRAGMA max_page_count = {self._max_pages}")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version not in (0, self._version):
                raise sqlite3.NotSupportedError(f"it is of version {version}, this program reads {self._version}")
            db.executescript(self._schema)
            db.execute(f"PRAGMA user_version = {self._version}")
            self.path.chmod(0o600)
        except BaseException:
            db.close()
            raise
        return db

    def _move_aside(self, error: Exception) -> None:
        log.warning("%s %s is no database any more (%s): it is moved aside", self._what, self.path, error)
        if self.db is not None:
            self.db.close()
        self.db = None
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                self.path.with_name(self.path.name + suffix).unlink()
        with contextlib.suppress(OSError):
            self.path.replace(self.path.with_name(self.path.name + ".damaged"))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _ruined(error: Exception) -> bool:
    words = str(error)
    if isinstance(error, UnicodeDecodeError) or (type(error) is sqlite3.DatabaseError and not words):
        return True  # SQLite quotes damaged bytes, of which Python 3.10 makes an error without words
    return "malformed" in words or "not a database" in words or "no such" in words
