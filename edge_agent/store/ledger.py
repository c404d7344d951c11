"""The money ledger: reserves before a question is sent, settles after, never lets a day exceed its budget."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_agent.clock import Clock

MICRO = 1_000_000
_CREATE = """
CREATE TABLE IF NOT EXISTS spending (
    id INTEGER PRIMARY KEY, day INTEGER NOT NULL,
    microusd INTEGER NOT NULL CHECK (microusd >= 0), settled INTEGER NOT NULL
)
"""


class Ledger:
    """Micro-dollars per UTC day in SQLite at `path` (or ":memory:"). Reservations that are never settled stay spent.

    Safe between processes: each reservation is one immediate transaction. Raises sqlite3.Error.
    """

    def __init__(self, path: Path | str, budget_usd_per_day: float, clock: Clock) -> None:
        self._path = str(path)
        self._budget = round(budget_usd_per_day * MICRO)
        self._clock = clock
        self._shared = sqlite3.connect(self._path) if self._path == ":memory:" else None
        if self._shared is None:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as db:
            db.execute(_CREATE)

    def left_usd(self) -> float:
        """What today's budget still holds, >= 0."""
        with self._transaction() as db:
            return max(0, self._budget - self._spent(db)) / MICRO

    def reserve(self, usd: float) -> int | None:
        """Set `usd` aside; the reservation's number, or None if it does not fit today's budget."""
        amount = max(0, round(usd * MICRO))
        with self._transaction() as db:
            if self._spent(db) + amount > self._budget:
                return None
            row = db.execute("INSERT INTO spending (day, microusd, settled) VALUES (?, ?, 0)", (self._day(), amount))
            return row.lastrowid

    def settle(self, reservation: int, usd: float) -> None:
        """Replace a reservation by what was really billed (also when that is more: the truth is kept)."""
        with self._transaction() as db:
            db.execute(
                "UPDATE spending SET microusd = ?, settled = 1 WHERE id = ?", (max(0, round(usd * MICRO)), reservation)
            )

    def close(self) -> None:
        """Close a ledger in memory; one on disk holds nothing open."""
        if self._shared is not None:
            self._shared.close()

    def _day(self) -> int:
        return int(self._clock.wall_s() // 86_400)

    def _spent(self, db: sqlite3.Connection) -> int:
        (total,) = db.execute(
            "SELECT COALESCE(SUM(microusd), 0) FROM spending WHERE day = ?", (self._day(),)
        ).fetchone()
        return int(total)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._shared is not None:
            with self._shared as db:
                yield db
            return
        with closing(sqlite3.connect(self._path, timeout=5.0, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
