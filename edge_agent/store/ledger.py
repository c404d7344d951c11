"""The money ledger: reserves before a question is sent, settles after, never lets a day exceed its budget."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from edge_agent.clock import Clock

MICRO = 1_000_000
FREE = 0  # the reservation of nothing
LOCK_WAIT_S = 0.2
KEPT_DAYS = 31  # older books are thrown away, so that the file stays small
log = logging.getLogger(__name__)
T = TypeVar("T")
_CREATE = (
    """
CREATE TABLE IF NOT EXISTS spending (
    id INTEGER PRIMARY KEY, day INTEGER NOT NULL,
    microusd INTEGER NOT NULL CHECK (microusd >= 0), settled INTEGER NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS spending_of_day ON spending (day, microusd)",
)


class MemoryLedger:
    """The same books without a disk: micro-dollars of one process, gone with it. For tests, and where no disk is."""

    def __init__(self, budget_usd_per_day: float, clock: Clock) -> None:
        self._budget = round(budget_usd_per_day * MICRO)
        self._clock = clock
        self._spending: dict[int, tuple[int, int]] = {}  # reservation: (day, micro-dollars)

    def left_usd(self) -> float:
        """What today's budget still holds, >= 0."""
        return max(0, self._budget - self._spent()) / MICRO

    def reserve(self, usd: float) -> int | None:
        """Set `usd` aside; the reservation's number, or None if it does not fit today's budget."""
        amount, day = max(0, round(usd * MICRO)), utc_day(self._clock)
        if self._spent() + amount > self._budget:
            return None
        self._spending = {n: entry for n, entry in self._spending.items() if entry[0] == day}
        number = max(self._spending, default=0) + 1
        self._spending[number] = (day, amount)
        return number

    def settle(self, reservation: int, usd: float) -> None:
        """Replace a reservation by what was really billed."""
        if reservation in self._spending:
            self._spending[reservation] = (self._spending[reservation][0], max(0, round(usd * MICRO)))

    def close(self) -> None:
        """Nothing to close."""

    def _spent(self) -> int:
        day = utc_day(self._clock)
        return sum(amount for on, amount in self._spending.values() if on == day)


class Ledger:
    """Micro-dollars per UTC day in SQLite at `path`. Reservations that are never settled stay spent.

    Every question asks what is left, so one connection stays open for that, and adds up only what has changed since.
    Safe between processes: each reservation is one immediate transaction. Making one raises sqlite3.Error or OSError;
    later on, books that cannot be read or written (a full disk, a lock held too long) count as an empty purse: what
    costs nothing goes on, what costs money does not.
    """

    def __init__(self, path: Path, budget_usd_per_day: float, clock: Clock) -> None:
        self._path = path
        self._budget = round(budget_usd_per_day * MICRO)
        self._clock = clock
        self._complained = False
        self._reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._known: tuple[int, int] | None = None  # the day and the version of the books that `_total` is of
        self._total = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as db:
            for statement in _CREATE:
                db.execute(statement)

    def left_usd(self) -> float:
        """What today's budget still holds, >= 0."""
        with self._reading:
            try:
                return max(0, self._budget - self._read()) / MICRO
            except sqlite3.Error as error:
                self._close_reader()
                return self._unknown(error, 0.0)

    def reserve(self, usd: float) -> int | None:
        """Set `usd` aside; the reservation's number, or None if it does not fit today's budget."""
        amount = max(0, round(usd * MICRO))
        if amount == 0:
            return FREE
        try:
            with self._transaction() as db:
                return self._insert(db, amount)
        except sqlite3.Error as error:
            return self._unknown(error, None)

    def settle(self, reservation: int, usd: float) -> None:
        """Replace a reservation by what was really billed (also when that is more: the truth is kept)."""
        amount = max(0, round(usd * MICRO))
        if reservation == FREE and amount == 0:
            return
        try:
            with self._transaction() as db:
                if reservation == FREE:  # what was promised for nothing was billed: it counts, even beyond the budget
                    self._insert(db, amount, beyond_budget=True)
                else:
                    db.execute("UPDATE spending SET microusd = ?, settled = 1 WHERE id = ?", (amount, reservation))
        except sqlite3.Error as error:
            self._unknown(error, None)

    def close(self) -> None:
        """Close the connection that reads; the next question opens it again."""
        with self._reading:
            self._close_reader()

    def _read(self) -> int:
        """Spent today. Whatever another connection has committed, this process's own included, changes the version."""
        if self._reader is None:
            self._reader, self._known = self._connect(any_thread=True), None
        (version,) = self._reader.execute("PRAGMA data_version").fetchone()
        now = utc_day(self._clock), int(version)
        if now != self._known:
            self._total, self._known = self._spent(self._reader), now
        return self._total

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _insert(self, db: sqlite3.Connection, amount: int, beyond_budget: bool = False) -> int | None:
        if self._spent(db) + amount > self._budget and not beyond_budget:
            return None
        day = utc_day(self._clock)
        db.execute("DELETE FROM spending WHERE day < ?", (day - KEPT_DAYS,))
        return db.execute("INSERT INTO spending (day, microusd, settled) VALUES (?, ?, 0)", (day, amount)).lastrowid

    def _unknown(self, error: sqlite3.Error, instead: T) -> T:
        if not self._complained:
            log.warning("the ledger %s cannot be used (%s): no money is spent", self._path, error)
            self._complained = True
        return instead

    def _connect(self, any_thread: bool = False) -> sqlite3.Connection:
        alone = not any_thread
        return sqlite3.connect(self._path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=alone)

    def _spent(self, db: sqlite3.Connection) -> int:
        days = (utc_day(self._clock),)
        (total,) = db.execute("SELECT COALESCE(SUM(microusd), 0) FROM spending WHERE day = ?", days).fetchone()
        return int(total)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection for one immediate transaction, rolled back by closing if it fails."""
        with closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")


def utc_day(clock: Clock) -> int:
    """Days since 1970-01-01 UTC."""
    return int(clock.wall_s() // 86_400)
