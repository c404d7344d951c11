"""What `tmo` starts from in the running agent: how often device and cloud answered which kind of question rightly.

The table is measured by `tools/measure_tmo.py` on real questions with the shipped pair of models, and travels with the
package as `assets/tmo.json`, with where it comes from. It also holds how conversations go: which kind of question
follows which, and how often another one follows at all.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from edge_agent.policy.conversation import SPAN
from edge_agent.policy.shipped import shipped, versioned

VERSION = 1
TASKS = ("sound", "count", "colour", "presence", "place", "identify")
_SOUND = frozenset(
    [
        "hear",
        "heard",
        "hearing",
        "listen",
        "sound",
        "sounds",
        "noise",
        "noises",
        "noisy",
        "loud",
        "quiet",
        "music",
        "voice",
        "voices",
    ]
)
_COLOUR = frozenset(["color", "colors", "colour", "colours"])
_PLACE = frozenset(
    [
        "left",
        "right",
        "front",
        "behind",
        "above",
        "below",
        "under",
        "between",
        "near",
        "next",
        "beside",
        "around",
        "where",
        "top",
        "on",
        "in",
    ]
)
_YES_NO = frozenset(["is", "are", "was", "were", "do", "does", "did", "can", "could", "has", "have", "will"])
_WORD = re.compile(r"[a-z]+")


def task_of(question: str) -> int:
    """The kind of a question, by its words: an index into TASKS."""
    words = _WORD.findall(question.lower())
    seen = set(words)
    if seen & _SOUND:
        return 0
    if words[:2] in (["how", "many"], ["how", "much"]):
        return 1
    if seen & _COLOUR:
        return 2
    if words[:1] and words[0] in _YES_NO:
        return 3
    return 4 if seen & _PLACE else 5


@dataclass(frozen=True, slots=True)
class Responses:
    """`right` and `asked` are [task][0 local, 1 cloud] counts; `next_task` [task][task] and `goes_on` [turn] shares."""

    right: tuple[tuple[float, float], ...]
    asked: tuple[tuple[float, float], ...]
    next_task: tuple[tuple[float, ...], ...]
    goes_on: tuple[float, ...]
    measured_with: str


NOTHING_KNOWN = Responses(
    right=((0.0, 0.0),) * len(TASKS),
    asked=((0.0, 0.0),) * len(TASKS),
    next_task=((1.0 / len(TASKS),) * len(TASKS),) * len(TASKS),
    goes_on=(0.5,) * (SPAN - 1) + (0.0,),
    measured_with="nothing",
)


def shipped_responses() -> Responses:
    """The table that travels with the package; where it does not fit it is set aside with a warning."""
    return shipped("tmo.json", read_responses, NOTHING_KNOWN, "tmo starts from nothing, its table does not fit")


def read_responses(text: str) -> Responses:
    """The table in a file's text. Raises ValueError that says what does not fit."""
    document = versioned(text, VERSION, "the table")
    if document.get("tasks") != list(TASKS):
        raise ValueError(f"its tasks are not {', '.join(TASKS)}")
    kinds = len(TASKS)
    right, asked = (_table(document, key, kinds, 2) for key in ("right", "asked"))
    following = _table(document, "next_task", kinds, kinds)
    goes_on = _table({"goes_on": [document.get("goes_on")]}, "goes_on", 1, SPAN)[0]
    if any(r > n for rows in zip(right, asked, strict=True) for r, n in zip(*rows, strict=True)):
        raise ValueError("more right than asked")
    if any(abs(sum(row) - 1.0) > 1e-3 for row in following) or any(share > 1.0 for share in goes_on):
        raise ValueError("shares do not add up")
    measured_with = document.get("measured_with")
    if not isinstance(measured_with, str):
        raise ValueError("it does not say which models were measured")
    return Responses(
        right=tuple((row[0], row[1]) for row in right),
        asked=tuple((row[0], row[1]) for row in asked),
        next_task=following,
        goes_on=goes_on,
        measured_with=measured_with,
    )


def _table(document: dict[str, Any], key: str, rows: int, columns: int) -> tuple[tuple[float, ...], ...]:
    table = document.get(key)
    if not isinstance(table, list) or len(table) != rows:
        raise ValueError(f"`{key}` has no {rows} rows")
    for row in table:
        if not isinstance(row, list) or len(row) != columns:
            raise ValueError(f"`{key}` has a row without {columns} numbers")
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) or v < 0 for v in row):
            raise ValueError(f"`{key}` holds something that is no number from 0 on")
    return tuple(tuple(float(value) for value in row) for row in table)
