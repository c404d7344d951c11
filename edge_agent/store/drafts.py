"""Reading drafts back from the decision log, and the file in which `edge-agent calibrate` leaves its threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_agent.errors import InputError
from edge_agent.store.decisions import READABLE
from edge_agent.store.small_file import read_document, write_document

MAX_LINE_CHARS = 4_000_000
CLOCK_STEP_S = 60.0  # a clock may be set back by so much
HINT = "name a decision log of this version with --log"


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """One line: its number in `path`, when, by which model, the parts of the record, and the whole of it."""

    path: Path
    number: int
    time_s: float
    model: str
    decision: Mapping[str, Any]
    outcome: Mapping[str, Any] | None
    record: Mapping[str, Any]


def log_files(path: Path) -> list[Path]:
    """The rotated log before the present one, where they exist. Raises InputError."""
    try:
        return [p for p in (Path(f"{path}.1"), path) if p.is_file()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}", HINT) from error


def read_lines(path: Path) -> Iterator[LoggedLine]:
    """The lines of one log, checked; not a last one that was cut short. Raises InputError with file and line."""
    last_s = -math.inf
    try:
        with path.open(encoding="utf-8") as log:
            for number, text in enumerate(iter(partial(log.readline, MAX_LINE_CHARS + 1), ""), 1):
                if len(text) > MAX_LINE_CHARS:
                    raise InputError(f"{path}:{number}: a line of more than {MAX_LINE_CHARS} characters", HINT)
                if not text.endswith("\n"):
                    return
                line = _line(path, number, text)
                if line.time_s < last_s - CLOCK_STEP_S:
                    raise InputError(
                        f"{path}:{number}: time runs backwards by {last_s - line.time_s:.0f} s",
                        "cut the log there: the clock was set, or two logs were joined",
                    )
                last_s = line.time_s
                yield line
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", HINT) from error


def _line(path: Path, number: int, text: str) -> LoggedLine:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: not JSON: {error}", HINT) from error
    if not isinstance(record, dict) or record.get("schema") not in READABLE:
        found = record.get("schema") if isinstance(record, dict) else None
        known = " and ".join(map(str, READABLE))
        raise InputError(f"{path}:{number}: schema {found!r:.40}, this program reads {known}", HINT)
    time_s, decision, outcome = record.get("time_s"), record.get("decision"), record.get("outcome")
    if isinstance(time_s, bool) or not isinstance(time_s, (int, float)) or not math.isfinite(time_s):
        raise InputError(f"{path}:{number}: time_s is no number", HINT)
    if not isinstance(decision, dict) or not (outcome is None or isinstance(outcome, dict)):
        raise InputError(f"{path}:{number}: no decision, or an outcome that is none", HINT)
    return LoggedLine(path, number, float(time_s), str(record.get("model", "")), decision, outcome, record)


def number_of(line: LoggedLine, key: str) -> float | None:
    """A number of the line's outcome; None where there is none. Raises InputError for what is no number."""
    value = None if line.outcome is None else line.outcome.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{line.path}:{line.number}: {key} is {value!r:.40}", HINT)
    return float(value)


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """A threshold, the model whose drafts it was found on, and what it was found for."""

    min_gain: float
    model: str
    goal: str


def write_calibration(path: Path, calibration: StoredCalibration, facts: Mapping[str, Any]) -> None:
    """Replace the file in one step. Raises OSError."""
    write_document(path, {**asdict(calibration), **facts}, indent=1)


def read_calibration(path: Path) -> StoredCalibration | None:
    """What was left there; None where nothing was. Raises ValueError for what is no calibration, OSError."""
    document = read_document(path)
    if document is None:
        return None
    gain, model, goal = document.get("min_gain"), document.get("model"), document.get("goal")
    if isinstance(gain, bool) or not isinstance(gain, (int, float)) or not -1.0 <= gain <= 1.0:
        raise ValueError("its min_gain is not in -1..1")
    if not isinstance(model, str) or not isinstance(goal, str):
        raise ValueError("it does not say for which model and goal")
    return StoredCalibration(float(gain), model, goal)
