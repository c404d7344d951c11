"""The outbox: questions that wait for the cloud to come back; bounded, checksummed, synced before acknowledged."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.store.frail_file import FrailFile
from edge_agent.store.parcel import Parcel, pack, question_of, unpack
from edge_agent.types import Observation

VERSION = 1
ASKED = "asked"  # the trigger of a person's question
MAX_ATTEMPTS = 3  # answers that failed for another reason than the cloud
COUNTS = ("kept", "answered", "failed", "aged", "dropped", "damaged")
_CREATE = """
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kept_s REAL NOT NULL, boot TEXT NOT NULL, monotonic_s REAL NOT NULL,
    trigger TEXT NOT NULL, meta BLOB NOT NULL, picture BLOB NOT NULL, sound BLOB NOT NULL, digest BLOB NOT NULL,
    bytes INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
"""
_COLUMNS = "id, kept_s, boot, monotonic_s, trigger, meta, picture, sound, digest, attempts"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question that waits: its number, when it was asked (wall seconds), by what, and how long ago that is."""

    number: int
    asked_s: float
    trigger: str
    waited_s: float
    attempts: int
    parcel: Parcel

    @property
    def question(self) -> str:
        return question_of(self.parcel)

    def observation(self) -> Observation:
        """What was asked about. Raises ValueError."""
        return unpack(self.parcel)


class Outbox:
    """Questions in the order in which they were asked, in SQLite at `path` (WAL, every commit synced).

    At most `max_bytes` of questions: then the oldest automatic one leaves, then the oldest of a person's; an automatic
    one never drives a person's out. After `max_age_s` a question leaves: by the monotonic clock within one boot of the
    machine, so that a clock that is set ages nothing. What left without an answer is counted, by why, across restarts.

    Opening raises OSError or sqlite3.Error where there can be none. Later a disk that is full or fails means: nothing
    is acknowledged. A record that does not fit its checksum costs itself alone; a file that is no database any more is
    moved aside as `outbox.sqlite3.damaged`. Any thread may call.
    """

    def __init__(self, path: Path, clock: Clock, max_bytes: int, max_age_s: float, boot: str | None = None) -> None:
        self._file = FrailFile(path, "the outbox", _CREATE, VERSION, max_bytes)
        self._clock = clock
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self._boot = _boot_id() if boot is None else boot
        self._gone: dict[int, str] = {}  # what has left, and why, but is not off the disk yet

    def put(self, observation: Observation, trigger: str) -> int | None:
        """Keep a question; its number once it is on the disk, None where it cannot be kept."""
        try:
            parcel = pack(observation)
        except ValueError as error:
            log.warning("a question is not kept: %s", error)
            return None
        return self._file.guarded(lambda db: self._insert(db, parcel, trigger), None)

    def head(self) -> Waiting | None:
        """The oldest question; what is too old or damaged has left by then. None where none waits."""
        return self._file.guarded(self._head, None) if self._settle() else None

    def done(self, number: int, answered: bool = True) -> None:
        """A question was answered (or failed for good): it leaves, and is not given out again even where the disk does
        not take that now.
        """
        self._gone[number] = "answered" if answered else "failed"
        self._settle()

    def tried(self, waiting: Waiting) -> bool:
        """An attempt failed for another reason than the cloud; False if that was the last, and it has left."""
        if waiting.attempts + 1 >= MAX_ATTEMPTS:
            self.done(waiting.number, answered=False)
            return False
        add = "UPDATE waiting SET attempts = attempts + 1 WHERE id = ?"
        self._file.guarded(lambda db: db.execute(add, (waiting.number,)).rowcount, 0)
        return True

    def waiting(self) -> list[Waiting]:
        """All that wait, in order, without pictures and sounds."""
        return self._file.guarded(lambda db: list(self._rows(db)), [])

    def counts(self) -> dict[str, int]:
        """How many were `kept` in all, and of those `answered`, `failed` for good, `aged`, `dropped` for room,
        `damaged`; and how many are `waiting`, with their `bytes`.
        """
        return self._file.guarded(self._counts, {**dict.fromkeys(COUNTS, 0), "waiting": 0, "bytes": 0})

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._file.close()

    def _settle(self) -> bool:
        """Take off the disk what has left; False where it does not take that."""
        gone = dict(self._gone)

        def leave(db: sqlite3.Connection) -> bool:
            for number, why in gone.items():
                self._leave(db, number, why)
            return True

        if gone and not self._file.guarded(leave, False):
            return False
        for number in gone:
            self._gone.pop(number, None)
        return True

    def _insert(self, db: sqlite3.Connection, parcel: Parcel, trigger: str) -> int | None:
        if not self._make_room(db, parcel.size, trigger):
            return None
        kept_s, monotonic_s = self._clock.wall_s(), self._clock.monotonic_s()
        values = (kept_s, self._boot, monotonic_s, trigger, parcel.meta, parcel.picture, parcel.sound)
        number = db.execute(
            "INSERT INTO waiting (kept_s, boot, monotonic_s, trigger, meta, picture, sound, digest, bytes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, _digest(*values), parcel.size),
        ).lastrowid
        self._count(db, "kept", 1)
        return number

    def _make_room(self, db: sqlite3.Connection, size: int, trigger: str) -> bool:
        """Whether `size` more bytes fit, after what may leave for them has left."""
        (have,) = db.execute("SELECT COALESCE(SUM(CAST(bytes AS INTEGER)), 0) FROM waiting").fetchone()
        over = have + size - self.max_bytes
        if over <= 0:
            return True
        leaving: list[int] = []
        size_of = "COALESCE(CAST(bytes AS INTEGER), 0)"
        order = f"SELECT id, {size_of} FROM waiting WHERE trigger != ? OR ? ORDER BY trigger = ?, id"
        for number, freed in db.execute(order, (ASKED, trigger == ASKED, ASKED)).fetchall():
            leaving.append(number)
            over -= freed
            if over <= 0:
                for one in leaving:
                    self._leave(db, one, "dropped")
                return True
        return False

    def _head(self, db: sqlite3.Connection) -> Waiting | None:
        while (row := db.execute(f"SELECT {_COLUMNS} FROM waiting ORDER BY id LIMIT 1").fetchone()) is not None:
            number, kept_s, boot, monotonic_s, trigger, meta, picture, sound, digest, attempts = row
            try:
                intact = _digest(kept_s, boot, monotonic_s, trigger, meta, picture, sound) == digest
            except (TypeError, ValueError, struct.error, AttributeError):  # a column of another type
                intact = False
            if not intact:
                log.warning("question %d of %s does not fit its checksum: it is taken away", number, self._file.path)
                self._leave(db, number, "damaged")
                continue
            waited_s = self._age_s(kept_s, boot, monotonic_s)
            if waited_s > self.max_age_s:
                self._leave(db, number, "aged")
                continue
            return Waiting(number, kept_s, trigger, waited_s, attempts, Parcel(meta, picture, sound))
        return None

    def _rows(self, db: sqlite3.Connection) -> Iterator[Waiting]:
        query = "SELECT id, kept_s, boot, monotonic_s, trigger, meta, attempts FROM waiting ORDER BY id"
        for number, kept_s, boot, monotonic_s, trigger, meta, attempts in db.execute(query):
            try:
                age_s, parcel = self._age_s(float(kept_s), boot, float(monotonic_s)), Parcel(bytes(meta), b"", b"")
                question_of(parcel)
            except (TypeError, ValueError):
                continue  # `head` takes it away, and counts it
            yield Waiting(number, kept_s, str(trigger), age_s, attempts, parcel)

    def _age_s(self, kept_s: float, boot: str, monotonic_s: float) -> float:
        if boot == self._boot:
            return max(0.0, self._clock.monotonic_s() - monotonic_s)
        return max(0.0, self._clock.wall_s() - kept_s)

    def _leave(self, db: sqlite3.Connection, number: int, why: str) -> None:
        self._count(db, why, db.execute("DELETE FROM waiting WHERE id = ?", (number,)).rowcount)

    def _count(self, db: sqlite3.Connection, name: str, n: int) -> None:
        db.execute("INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n", (name, n))

    def _counts(self, db: sqlite3.Connection) -> dict[str, int]:
        found = {str(name): int(n) for name, n in db.execute("SELECT name, CAST(n AS INTEGER) FROM counts")}
        (rows, size) = db.execute("SELECT COUNT(*), COALESCE(SUM(CAST(bytes AS INTEGER)), 0) FROM waiting").fetchone()
        return {**{name: found.get(name, 0) for name in COUNTS}, "waiting": int(rows), "bytes": int(size)}


def _digest(
    kept_s: float, boot: str, monotonic_s: float, trigger: str, meta: bytes, picture: bytes, sound: bytes
) -> bytes:
    """16 bytes over all that is kept of a question; lengths go in, so that nothing moves from one part to the next."""
    made = hashlib.blake2b(digest_size=16)
    made.update(struct.pack("<dd", kept_s, monotonic_s))
    for part in (boot.encode(), trigger.encode(), meta, picture, sound):
        made.update(struct.pack("<q", len(part)))
        made.update(part)
    return made.digest()


def _boot_id() -> str:
    """Names this boot of the machine, within which monotonic times compare; empty where that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
