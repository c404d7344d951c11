"""Reading MMBench: a TSV of multiple-choice questions with base64 pictures, and its circular passes.

Columns: index, question, hint, A to D, answer, category, l2-category, image. In circular evaluation each question is
asked once per option, the options turned by one each time; it counts only if every pass is right. The official files
hold the turned rows, their index a million higher each time, their picture either again or as the index of the row
that has it; from a file without them, the passes are made here.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.cli.vqa import MAX_SET_BYTES
from edge_agent.errors import InputError
from edge_agent.sources.base import regular_file

LETTERS = "ABCD"
PASS = 1_000_000  # between the index of a row and that of its next turn
NEEDED = ("index", "question", "A", "B", "answer", "category", "image")
REFERENCE_CHARS = 64  # a picture in base64 is longer
EMPTY = ("", "nan", "NaN")
MAX_CELL_CHARS = 128 << 20
HINT = "give an official file such as MMBench_DEV_EN.tsv"


@dataclass(frozen=True, slots=True)
class Pass:
    """One way in which a question is asked: options by letter, and the letter that is right."""

    options: dict[str, str]
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question with all its passes. `picture` is the encoded file; `index` that of the first row."""

    index: int
    question: str
    hint: str
    category: str
    group: str
    picture: bytes
    passes: tuple[Pass, ...]

    def prompt(self, turn: Pass) -> str:
        """The official wording."""
        lines = [f"Hint: {self.hint}"] if self.hint else []
        lines += [f"Question: {self.question}", "Options:", *(f"{k}. {text}" for k, text in turn.options.items())]
        return "\n".join([*lines, "Please select the correct answer from the options above."])


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    index: int
    cells: dict[str, str]
    turn: Pass


def read_mmbench(path: Path) -> list[Question]:
    """The questions in the order of their first rows. Raises InputError with file and line."""
    regular_file(path, "TSV of MMBench", MAX_SET_BYTES)
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}", HINT) from error
    groups: dict[int, list[_Row]] = {}
    seen: set[int] = set()
    for row in rows:
        if row.index in seen:
            raise InputError(f"{row.place}: index {row.index} is there twice", HINT)
        seen.add(row.index)
        groups.setdefault(row.index % PASS, []).append(row)
    if not groups:
        raise InputError(f"{path} has no rows", HINT)
    expanded = max(seen) >= PASS
    pictures: dict[int, str] = {row.index: row.cells["image"] for row in rows}
    return [_question(group, expanded, pictures) for group in groups.values()]


def _rows(path: Path) -> Iterator[_Row]:
    before = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                words = "the answers of the test split are not published" if missing == ["answer"] else HINT
                raise InputError(f"{path}: no column {', '.join(missing)}", words)
            for cells in reader:
                yield _row(f"{path}:{reader.line_num}", cells)
    finally:
        csv.field_size_limit(before)


def _row(place: str, raw: dict[str, str | None]) -> _Row:
    cells = {key: (value or "").strip() for key, value in raw.items() if key is not None}
    if None in raw or any(value is None for value in raw.values()):
        raise InputError(f"{place}: not as many cells as columns", HINT)
    try:
        index = int(float(cells["index"])) if "." in cells["index"] else int(cells["index"])
    except (ValueError, OverflowError):
        index = -1
    if index < 0:
        raise InputError(f"{place}: index is {cells['index'][:40]}", "a whole number is needed")
    options = {letter: cells[letter] for letter in LETTERS if cells.get(letter, "") not in EMPTY}
    if list(options) != list(LETTERS[: len(options)]) or len(options) < 2:
        raise InputError(f"{place}: options {', '.join(options) or 'none'}", "two to four are needed, from A on")
    if cells["answer"] not in options:
        raise InputError(f"{place}: answer is {cells['answer'][:40]}", f"one of {', '.join(options)} is needed")
    if cells["question"] in EMPTY:
        raise InputError(f"{place}: no question", HINT)
    return _Row(place, index, cells, Pass(options, cells["answer"]))


def _question(rows: list[_Row], expanded: bool, pictures: dict[int, str]) -> Question:
    first = min(rows, key=lambda row: row.index)
    cells = first.cells
    return Question(
        index=first.index,
        question=cells["question"],
        hint="" if cells.get("hint", "") in EMPTY else cells["hint"],
        category=cells["category"],
        group=cells.get("l2-category", ""),
        picture=_picture(first, pictures),
        passes=tuple(row.turn for row in sorted(rows, key=lambda r: r.index)) if expanded else turned(first.turn),
    )


def turned(first: Pass) -> tuple[Pass, ...]:
    """As many passes as options, the texts moved on by one letter each time."""
    letters, texts = list(first.options), list(first.options.values())
    count, right = len(letters), letters.index(first.answer)
    return tuple(
        Pass(
            {letter: texts[(at - by) % count] for at, letter in enumerate(letters)},
            letters[(right + by) % count],
        )
        for by in range(count)
    )


def _picture(row: _Row, pictures: dict[int, str]) -> bytes:
    text = row.cells["image"]
    if 0 < len(text) <= REFERENCE_CHARS and text.isdecimal():
        text = pictures.get(int(text), "")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{row.place}: the image is not base64: {error}", HINT) from error
    if not data:
        raise InputError(f"{row.place}: no image", HINT)
    return data


def picture_name(picture: bytes) -> str:
    """A name for a picture that has none, the same for the same bytes."""
    return hashlib.sha256(picture).hexdigest()[:16]
