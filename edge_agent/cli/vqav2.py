"""`edge-agent eval vqav2`: the official question and annotation files of VQA v2, with their official accuracy."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.answering import Asked, answer_all, drawn_options, tell
from edge_agent.cli.options import deciding_options, json_option, settle
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.cli.vqa import MAX_SET_BYTES, Row, Scored, report, sample
from edge_agent.cli.vqav2_score import vqa_accuracy
from edge_agent.errors import InputError
from edge_agent.sources.base import regular_file
from edge_agent.types import Answer

HINT = "give the official files: v2_OpenEnded_mscoco_val2014_questions.json and v2_mscoco_val2014_annotations.json"
TO_FOLDER = "or a folder with one of each and the photos in val2014/"


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with the answers that people gave, ten of them in the official files, and its official types."""

    row: Row
    answers: tuple[str, ...]
    question_type: str


@click.command()
@click.option("--data", "paths", required=True, multiple=True, type=FILE, help="The folder, or twice: each file.")
@click.option("--images", type=FILE, help="The folder of the photos, if they are not in or beside --data.")
@drawn_options
@deciding_options
@json_option
def vqav2(
    paths: tuple[Path, ...], images: Path | None, limit: int | None, seed: int, as_json: bool, **deciding: Any
) -> None:
    """VQA v2: agreement with ten people, overall, by type of answer and by type of question."""
    loaded = settle(**deciding)
    questions = read_questions(paths, images, limit, seed)
    asked = [Asked(q.row.image, q.row.image.name, q.row.question) for q in questions]
    answers = run(answer_all(loaded, asked, as_json))
    scored = [_scored(q, answer) for q, answer in zip(questions, answers, strict=True)]
    result = {
        "data": ", ".join(path.name for path in paths),
        "route": deciding["route"],
        "policy": loaded.config.policy.name,
        "seed": seed,
    }
    result |= report(scored, seed) | {"question_types": _by_question_type(questions, scored)}
    tell(result, as_json)


def read_questions(paths: Sequence[Path], images: Path | None, limit: int | None, seed: int) -> list[Judged]:
    """At most `limit` questions, drawn by `seed`, in the file's order, each photo there. Raises InputError."""
    documents = [_document(path) for path in _files(paths)]
    asked = _the_one(documents, "questions")
    judged = _the_one(documents, "annotations")
    by_id = _annotations(*judged)
    name, document = asked
    subset = document.get("data_subtype")
    if not isinstance(subset, str):
        raise InputError(f"{name}: no text `data_subtype`", HINT)
    folder = images if images is not None else name.parent
    questions = [
        _question(row, f"{name}: question {at}", by_id, folder, subset) for at, row in enumerate(document["questions"])
    ]
    if not questions:
        raise InputError(f"{name} has no questions", HINT)
    return [_with_photo(q, folder, subset) for q in sample(questions, limit, seed)]


def _files(paths: Sequence[Path]) -> list[Path]:
    """The two files, or those of the folder. Raises InputError."""
    if len(paths) > 2:
        raise InputError(f"{len(paths)} times --data", f"{HINT}, {TO_FOLDER}")
    if len(paths) == 1 and paths[0].is_dir():
        found = sorted(p for p in paths[0].glob("*.json") if "questions" in p.name or "annotations" in p.name)
        if len(found) != 2:
            raise InputError(f"{paths[0]} has {len(found)} files of questions or annotations", f"{HINT}, {TO_FOLDER}")
        return found
    return list(paths)


def _document(path: Path) -> tuple[Path, dict[str, Any]]:
    regular_file(path, "file of VQA v2", MAX_SET_BYTES)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", HINT) from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: no JSON object", HINT)
    return path, document


def _the_one(documents: Sequence[tuple[Path, dict[str, Any]]], key: str) -> tuple[Path, dict[str, Any]]:
    found = [(path, d) for path, d in documents if isinstance(d.get(key), list)]
    if len(found) != 1:
        names = ", ".join(path.name for path, _ in documents)
        raise InputError(f"{names}: {len(found)} files with a list `{key}`", f"{HINT}, {TO_FOLDER}")
    return found[0]


def _annotations(path: Path, document: dict[str, Any]) -> dict[int, dict[str, Any]]:
    by_id: dict[int, dict[str, Any]] = {}
    for at, row in enumerate(document["annotations"]):
        place = f"{path}: annotation {at}"
        number = _whole(row, "question_id", place)
        if number in by_id:
            raise InputError(f"{place}: question {number} is annotated twice", HINT)
        answers = row.get("answers")
        if not isinstance(answers, list) or not answers:
            raise InputError(f"{place}: no list `answers`", HINT)
        if any(not isinstance(a, dict) or not isinstance(a.get("answer"), str) for a in answers):
            raise InputError(f"{place}: an answer without a text `answer`", HINT)
        if not all(isinstance(row.get(key), str) for key in ("question_type", "answer_type")):
            raise InputError(f"{place}: no text `question_type` or `answer_type`", HINT)
        by_id[number] = row
    return by_id


def _question(row: Any, place: str, by_id: dict[int, dict[str, Any]], folder: Path, subset: str) -> Judged:
    number, image = _whole(row, "question_id", place), _whole(row, "image_id", place)
    if not isinstance(row.get("question"), str):
        raise InputError(f"{place}: no text `question`", HINT)
    judged = by_id.get(number)
    if judged is None:
        raise InputError(f"{place}: question {number} has no annotation", "the two files must be of one split")
    answers = tuple(answer["answer"] for answer in judged["answers"])
    photo = folder / f"COCO_{subset}_{image:012d}.jpg"
    return Judged(Row(photo, row["question"], answers[0], judged["answer_type"]), answers, judged["question_type"])


def _with_photo(question: Judged, folder: Path, subset: str) -> Judged:
    """With the photo where it is: in the folder, or in the split's folder below it."""
    row = question.row
    for photo in (row.image, folder / subset / row.image.name):
        if photo.is_file():
            return Judged(Row(photo, row.question, row.answer, row.kind), question.answers, question.question_type)
    raise InputError(f"no photo {row.image.name} in {folder} or {folder / subset}", "name its folder with --images")


def _whole(row: Any, key: str, place: str) -> int:
    value = row.get(key) if isinstance(row, dict) else None
    if type(value) is not int or value < 0:
        raise InputError(f"{place}: `{key}` is {str(value)[:40]}", "a whole number is needed")
    return value


def _scored(question: Judged, answer: Answer | str) -> Scored:
    if isinstance(answer, str):
        return Scored(question.row, 0.0, None, answer)
    return Scored(question.row, vqa_accuracy(answer.text, question.answers), answer)


def _by_question_type(questions: Sequence[Judged], scored: Sequence[Scored]) -> dict[str, dict[str, float]]:
    scores: dict[str, list[float]] = defaultdict(list)
    for question, one in zip(questions, scored, strict=True):
        scores[question.question_type].append(one.score)
    return {kind: {"n": len(s), "accuracy": sum(s) / len(s)} for kind, s in sorted(scores.items())}
