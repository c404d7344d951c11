"""The outbox: what was acknowledged is there after a crash; it is bounded; what is damaged costs itself alone."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents import frame, photo, tone
from boxes import open_box
from edge_agent.clock import ManualClock
from edge_agent.store.outbox import MAX_ATTEMPTS, Outbox
from edge_agent.store.parcel import Parcel, pack, unpack
from edge_agent.types import Observation, Turn

MB = 10**6


def opened(folder: Path, clock: ManualClock | None = None, size: int = MB, age_s: float = 3600.0) -> Outbox:
    return open_box(folder / "outbox.sqlite3", clock or ManualClock(), size, age_s, "this")


def questions(outbox: Outbox) -> list[str]:
    return [one.question for one in outbox.waiting()]


def noisy(question: str, seed: int) -> Observation:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    return Observation(question, (replace(frame(), pixels=pixels),))


def test_a_question_comes_back_as_it_was_asked() -> None:
    asked = photo("what now?", audio=tone(0.5, 3.0), history=(Turn("a?", "b"),), source="camera 0")
    back = unpack(pack(asked))
    assert (back.question, back.history, back.source) == ("what now?", (Turn("a?", "b"),), "camera 0")
    assert back.frames[0].pixels.shape == (8, 8, 3)
    assert np.abs(back.frames[0].pixels.astype(int) - 100).max() <= 2
    assert back.audio is not None
    assert asked.audio is not None
    assert np.abs(back.audio.samples - asked.audio.samples).max() < 1e-4
    assert back.audio.start_s == 3.0


def test_a_question_about_words_alone_is_kept_too() -> None:
    assert unpack(pack(Observation("why?"))) == Observation("why?")


def test_a_private_question_is_never_kept(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    assert outbox.put(photo(private=True), "asked") is None
    assert outbox.counts()["kept"] == 0


@pytest.mark.parametrize("meta", [b"", b"[]", b"{}", b'{"question": 3}', b"\xff", b'{"question":"?","history":[1]}'])
def test_what_is_no_question_is_refused_in_words(meta: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(Parcel(meta, b"", b""))


def test_a_declared_picture_is_checked_before_it_is_decoded() -> None:
    good = pack(photo())
    huge = good.meta.replace(b"[8,8]", b"[99999,99999]")
    with pytest.raises(ValueError, match="99999x99999"):
        unpack(replace(good, meta=huge))
    with pytest.raises(ValueError, match="cannot be decoded"):
        unpack(replace(good, picture=good.picture[:20]))


def test_questions_leave_in_order_and_survive_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert [first.put(photo(f"{n}?"), "asked") for n in range(3)] == [1, 2, 3]
    first.close()
    again = opened(tmp_path)
    left = []
    while (one := again.head()) is not None:
        left.append(one.observation().question)
        again.done(one.number)
    assert left == ["0?", "1?", "2?"]
    assert {k: v for k, v in again.counts().items() if v} == {"kept": 3, "answered": 3}


def test_the_commit_is_synced(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    assert outbox._file.db is not None
    assert outbox._file.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert outbox._file.db.execute("PRAGMA synchronous").fetchone() == (2,)


PUT_FOR_EVER = """
import sys
from pathlib import Path
from edge_agent.clock import SystemClock
from edge_agent.store.outbox import Outbox
from edge_agent.types import Observation
outbox = Outbox(Path(sys.argv[1]), SystemClock(), 10**7, 3600.0)
while True:
    print(outbox.put(Observation("q" * 300), "asked"), flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path, rng, acknowledged = tmp_path / "outbox.sqlite3", random.Random(7), 0
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", PUT_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(rng.randint(1, 40))]
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.stdout.close()
        child.wait()
        acknowledged = max(int(line) for line in lines if line.endswith("\n"))
        numbers = [one.number for one in opened(tmp_path, size=10**7).waiting()]
        assert numbers[:acknowledged] == list(range(1, acknowledged + 1))
    assert acknowledged > 5


def test_it_is_bounded_and_people_stay_longest(tmp_path: Path) -> None:
    outbox = opened(tmp_path, size=40_000)
    for n in range(6):
        assert outbox.put(noisy(f"person {n}", n), "asked" if n < 3 else "change") is not None
    assert outbox.counts()["dropped"] == 0
    for n in range(40):
        outbox.put(noisy(f"trigger {n}", n), "change")
    assert [q for q in questions(outbox) if q.startswith("person")] == ["person 0", "person 1", "person 2"]
    assert questions(outbox)[-1] == "trigger 39"
    for n in range(40):
        assert outbox.put(noisy(f"late person {n}", n), "asked") is not None
    assert outbox.put(noisy("one more", 1), "change") is None, "a trigger drives no person out"
    counts = outbox.counts()
    assert counts["bytes"] <= 40_000
    assert counts["waiting"] + counts["dropped"] == counts["kept"] == 86
    assert all(q.startswith("late person") for q in questions(outbox))
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 40_000 * 1.25 + 4_000_000


def test_a_question_larger_than_the_outbox_drives_nothing_out(tmp_path: Path) -> None:
    outbox = opened(tmp_path, size=2000)
    assert outbox.put(photo("small"), "asked") == 1
    assert outbox.put(noisy("large", 1), "asked") is None
    assert questions(outbox) == ["small"]


def test_what_waited_too_long_leaves_and_is_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = opened(tmp_path, clock, age_s=60.0)
    outbox.put(photo("old"), "asked")
    clock.advance(50)
    outbox.put(photo("new"), "asked")
    clock.advance(20)
    head = outbox.head()
    assert head is not None
    assert (head.question, head.waited_s) == ("new", 20.0)
    assert outbox.counts()["aged"] == 1


def test_a_clock_that_is_set_ages_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = opened(tmp_path, clock, age_s=60.0)
    outbox.put(photo(), "asked")
    for jump_s in (-1e9, 2e9):
        clock._wall_s += jump_s
        assert outbox.head() is not None


def test_after_a_restart_of_the_machine_the_wall_clock_tells_the_age(tmp_path: Path) -> None:
    opened(tmp_path, ManualClock(monotonic_s=9e5)).put(photo(), "asked")
    later = ManualClock(monotonic_s=1.0, wall_s=1_700_000_000.0 + 59)
    outbox = open_box(tmp_path / "outbox.sqlite3", later, MB, 60.0, boot="next")
    assert outbox.head() is not None
    later.advance(2)
    assert outbox.head() is None
    assert outbox.counts()["aged"] == 1


def test_a_torn_record_costs_itself_alone(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    for n in range(3):
        outbox.put(photo(f"{n}?"), "asked")
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.sqlite3")) as db, db:
        db.execute("UPDATE waiting SET picture = substr(picture, 1, 30) WHERE id = 1")
    head = outbox.head()
    assert head is not None
    assert head.question == "1?"
    assert outbox.counts()["damaged"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_byte_stops_the_outbox(tmp_path: Path, seed: int) -> None:
    outbox = opened(tmp_path)
    for n in range(4):
        outbox.put(photo(f"{n}?"), "asked" if n % 2 else "change")
    outbox.close()
    path = tmp_path / "outbox.sqlite3"
    whole, rng = path.read_bytes(), random.Random(seed)
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            torn = opened(tmp_path)
        except sqlite3.NotSupportedError:  # the version's byte
            continue
        torn.waiting()
        for _ in range(6):
            if (one := torn.head()) is None:
                break
            assert one.question in ("0?", "1?", "2?", "3?"), "what is given out is whole"
            torn.done(one.number)
        torn.counts()
        assert torn.put(photo("after"), "asked") is not None or torn.put(photo("after"), "asked") is not None
        torn.close()
        for left in tmp_path.glob("outbox.*"):
            left.unlink()


def test_a_damaged_letter_in_the_tables_definition_moves_the_file_aside(tmp_path: Path) -> None:
    """SQLite quotes it in its error, which is no UTF-8: some Pythons raise an error without words."""
    outbox = opened(tmp_path)
    outbox.put(photo("before?"), "asked")
    outbox.close()
    path = tmp_path / "outbox.sqlite3"
    whole = path.read_bytes()
    assert whole.count(b"AUTOINCREMENT") == 1
    path.write_bytes(whole.replace(b"AUTOINCREMENT", b"\xc1UTOINCREMENT"))
    assert questions(opened(tmp_path)) == []
    assert (tmp_path / "outbox.sqlite3.damaged").exists()


def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    path.write_bytes(b"junk" * 5000)
    outbox = opened(tmp_path)
    assert outbox.put(photo(), "asked") == 1
    assert (tmp_path / "outbox.sqlite3.damaged").read_bytes()[:4] == b"junk"


def test_a_future_version_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.sqlite3")) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(sqlite3.NotSupportedError, match="version 9, this program reads 1"):
        opened(tmp_path)


def test_a_full_disk_acknowledges_nothing_and_recovers(tmp_path: Path) -> None:
    outbox = opened(tmp_path, size=10**7)
    outbox.put(photo("before"), "asked")
    assert outbox._file.db is not None
    (pages,) = outbox._file.db.execute("PRAGMA page_count").fetchone()
    outbox._file.db.execute(
        f"PRAGMA max_page_count = {pages}"
    )  # SQLite then fails as where no byte is left: SQLITE_FULL
    assert [outbox.put(noisy("full", n), "asked") for n in range(3)] == [None] * 3
    assert questions(outbox) == ["before"]
    outbox._file.db.execute("PRAGMA max_page_count = 100000")
    assert outbox.put(noisy("after", 1), "asked") is not None
    assert questions(outbox) == ["before", "after"]


def test_an_answered_question_is_not_asked_again_where_the_disk_does_not_let_it_go(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(photo("once"), "asked")
    outbox.put(photo("next"), "asked")
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outbox.done(1)
        assert outbox.head() is None
        other.execute("ROLLBACK")
    head = outbox.head()
    assert head is not None
    assert head.question == "next"


def test_a_question_that_fails_for_itself_is_given_up(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(photo(), "asked")
    for attempt in range(MAX_ATTEMPTS):
        head = outbox.head()
        assert head is not None
        assert head.attempts == attempt
        assert outbox.tried(head) == (attempt + 1 < MAX_ATTEMPTS)
    assert outbox.head() is None
    assert outbox.counts()["failed"] == 1


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    opened(tmp_path).put(photo(), "asked")
    assert (tmp_path / "outbox.sqlite3").stat().st_mode & 0o077 == 0
