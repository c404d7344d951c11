"""The ledger never lets a day exceed its budget; the decision log is bounded and keeps whole lines."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edge_agent.clock import ManualClock
from edge_agent.store.decisions import DecisionLog
from edge_agent.store.ledger import Ledger, MemoryLedger
from edge_agent.types import Decision, Route
from edge_agent.values import plain, unpacked

Open = Callable[..., Ledger]


@pytest.fixture
def open_ledger() -> Iterator[Open]:
    """Ledgers that are closed at the end of the test."""
    with contextlib.ExitStack() as opened:
        yield lambda *what: opened.enter_context(contextlib.closing(Ledger(*what)))


@pytest.mark.parametrize("on_disk", [True, False])
@given(questions=st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 1)), max_size=12))
@settings(max_examples=30, deadline=None)
def test_reservations_never_exceed_the_budget(on_disk: bool, questions: list[tuple[float, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "ledger.sqlite3"
        ledger = Ledger(disk, 1.0, ManualClock()) if on_disk else MemoryLedger(1.0, ManualClock())
        with contextlib.closing(ledger):
            check_books(ledger, questions)


def check_books(ledger: Ledger | MemoryLedger, questions: list[tuple[float, float]]) -> None:
    spent = 0.0
    for price, billed_share in questions:
        before = ledger.left_usd()
        number = ledger.reserve(price)
        assert (number is None) == (round(price * 1e6) > round(before * 1e6))
        if number is not None:
            ledger.settle(number, price * billed_share)
            spent += round(price * billed_share * 1e6) / 1e6
        assert ledger.left_usd() == pytest.approx(1.0 - spent, abs=1e-9)


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_new_day_has_a_new_budget(on_disk: bool, tmp_path: Path, open_ledger: Open) -> None:
    clock = ManualClock(wall_s=86_400 * 10 + 5)
    ledger = open_ledger(tmp_path / "ledger.sqlite3", 0.5, clock) if on_disk else MemoryLedger(0.5, clock)
    assert ledger.reserve(0.5) is not None
    assert ledger.reserve(0.000001) is None
    clock.advance(86_400)
    assert ledger.left_usd() == 0.5


def test_old_books_are_thrown_away(tmp_path: Path, open_ledger: Open) -> None:
    clock = ManualClock()
    ledger = open_ledger(tmp_path / "ledger.sqlite3", 0.5, clock)
    for _ in range(100):
        assert ledger.reserve(0.001) is not None
        clock.advance(86_400)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
        assert db.execute("SELECT COUNT(*) FROM spending").fetchone()[0] <= 33


def test_two_agents_share_one_purse(tmp_path: Path, open_ledger: Open) -> None:
    first = open_ledger(tmp_path / "ledger.sqlite3", 0.5, ManualClock())
    second = open_ledger(tmp_path / "ledger.sqlite3", 0.5, ManualClock())
    assert first.reserve(0.4) is not None
    assert second.reserve(0.2) is None
    assert second.left_usd() == pytest.approx(0.1)


def test_books_that_break_are_an_empty_purse_not_an_error(tmp_path: Path, open_ledger: Open) -> None:
    path = tmp_path / "ledger.sqlite3"
    ledger = open_ledger(path, 0.5, ManualClock())
    path.write_bytes(b"junk" * 5000)
    assert ledger.left_usd() == 0.0
    assert ledger.reserve(0.01) is None
    free = ledger.reserve(0.0)
    assert free is not None
    ledger.settle(free, 0.0)
    ledger.settle(free, 0.02)


def test_what_is_left_follows_every_spending_of_every_process_and_thread(tmp_path: Path, open_ledger: Open) -> None:
    path, clock = tmp_path / "ledger.sqlite3", ManualClock()
    ledger, other = open_ledger(path, 0.5, clock), open_ledger(path, 0.5, clock)
    with ThreadPoolExecutor(1) as elsewhere:
        assert ledger.left_usd() == 0.5
        number = other.reserve(0.1)
        assert number is not None
        assert elsewhere.submit(ledger.left_usd).result() == pytest.approx(0.4)
        other.settle(number, 0.02)
        assert ledger.left_usd() == pytest.approx(0.48)
        assert ledger.reserve(0.2) is not None
        assert ledger.left_usd() == pytest.approx(0.28)
        clock.advance(86_400)
        assert ledger.left_usd() == 0.5


def test_books_that_break_while_they_are_read_are_an_empty_purse_and_are_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(Ledger(path, 0.5, ManualClock())) as ledger:
        assert ledger.left_usd() == 0.5
        good = path.read_bytes()
        path.write_bytes(b"junk" * 5000)
        assert ledger.left_usd() == 0.0
        path.write_bytes(good)
        assert ledger.left_usd() == 0.5


def test_adding_up_a_day_reads_none_of_the_other_days(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    Ledger(path, 0.5, ManualClock())
    with contextlib.closing(sqlite3.connect(path)) as db:
        plan = db.execute("EXPLAIN QUERY PLAN SELECT SUM(microusd) FROM spending WHERE day = 3").fetchall()
    assert "COVERING INDEX" in plan[0][3]


def test_books_that_are_locked_are_an_empty_purse_for_a_moment(tmp_path: Path, open_ledger: Open) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3", 0.5, ManualClock())
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert ledger.left_usd() == 0.0
        assert ledger.reserve(0.01) is None
    assert ledger.left_usd() == 0.5


def test_what_was_promised_for_nothing_but_billed_counts(tmp_path: Path, open_ledger: Open) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3", 0.5, ManualClock())
    free = ledger.reserve(0.0)
    assert free is not None
    ledger.settle(free, 0.7)
    assert ledger.left_usd() == 0.0


def test_an_unsettled_reservation_stays_spent(tmp_path: Path, open_ledger: Open) -> None:
    open_ledger(tmp_path / "ledger.sqlite3", 0.5, ManualClock()).reserve(0.4)
    assert open_ledger(tmp_path / "ledger.sqlite3", 0.5, ManualClock()).left_usd() == pytest.approx(0.1)


def test_the_decision_log_rotates_and_keeps_whole_lines(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "state" / "decisions.jsonl", max_bytes=400)
    for number in range(30):
        log.append({"number": number, "decision": Decision(Route.LOCAL, "msao", "why")})
    files = sorted((tmp_path / "state").iterdir())
    assert [f.name for f in files] == ["decisions.jsonl", "decisions.jsonl.1"]
    assert all(f.stat().st_size <= 400 for f in files)
    rows = [json.loads(line) for f in reversed(files) for line in f.read_text().splitlines()]
    assert [r["number"] for r in rows] == list(range(30))[-len(rows) :]
    assert rows[-1]["schema"] == 2
    assert rows[-1]["decision"]["route"] == "local"
    assert (tmp_path / "state" / "decisions.jsonl").stat().st_mode & 0o077 == 0


def test_the_decision_log_rotates_by_age_and_lets_the_old_go(tmp_path: Path) -> None:
    path, day = tmp_path / "decisions.jsonl", 86_400.0
    log = DecisionLog(path, max_age_s=7 * day)
    for number in range(10):
        log.append({"time_s": 1.7e9 + number * day, "number": number})
    older = path.with_name("decisions.jsonl.1")
    assert [json.loads(line)["number"] for line in older.read_text().splitlines()] == list(range(8))
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [8, 9]
    os.utime(older, (1.7e9, 1.7e9))
    DecisionLog(path, max_age_s=7 * day).append({"time_s": 1.7e9 + 10 * day, "number": 10})
    assert not older.exists()
    assert path.read_text().count("\n") == 3


def test_a_clock_that_is_set_back_does_not_rotate_the_log(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl", max_age_s=60.0)
    for time_s in (1.7e9, 0.0, 1.7e9 + 30):
        log.append({"time_s": time_s})
    assert [f.name for f in tmp_path.glob("decisions*")] == ["decisions.jsonl"]


def test_a_line_that_a_full_disk_cuts_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "decisions.jsonl"
    log = DecisionLog(path)
    log.append({"number": 1})
    whole, real = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:5]))
    with pytest.raises(OSError, match="No space left"):
        log.append({"number": 2})
    monkeypatch.undo()
    assert path.read_bytes() == whole
    log.append({"number": 3})
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [1, 3]


def test_plain_values() -> None:
    value = {"a": np.float32(0.5), "b": (Route.CLOUD, np.arange(2)), "c": None}
    assert plain(value) == {"a": 0.5, "b": ["cloud", [0, 1]], "c": None}


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 9)), elements=NUMBERS))
def test_numbers_of_the_log_are_read_back_to_the_bit(values: NDArray[np.float32]) -> None:
    line = json.dumps(plain({"tiles": values, "turned": np.asfortranarray(values)}, exact=True), allow_nan=False)
    read = json.loads(line)
    for name in ("tiles", "turned"):
        back = unpacked(read[name]).reshape(values.shape)
        assert (back.dtype, back.tobytes()) == (np.float32, values.tobytes())


def test_a_log_line_of_many_tiles_holds_six_bytes_a_tile() -> None:
    tiles = np.random.default_rng(1).random((23, 40), dtype=np.float32)
    assert len(json.dumps(plain(tiles, exact=True))) < 6 * tiles.size


@pytest.mark.parametrize(
    "bad",
    [
        {"f32": "AAAA"},
        {"f32": "AAAA", "shape": [1]},
        {"f32": "A?AA", "shape": [1]},
        {"f32": "AAAAAA==", "shape": [-1]},
        {"f32": "AAAAAA==", "shape": [-1, -1]},
        {"f32": "AAAAAA==", "shape": [True]},
        {"f32": "AAAAAA==", "shape": [1 << 62, 4]},
        {"f32": 5, "shape": [1]},
        "words",
    ],
)
def test_packed_numbers_that_do_not_fit_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"packed numbers|base64|could not convert|padding|characters"):
        unpacked(bad)
