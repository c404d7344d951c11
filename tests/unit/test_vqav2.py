"""VQA v2: the official accuracy with its normalisation, and its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.vqav2 import read_questions
from edge_agent.cli.vqav2_score import CONTRACTIONS, normalised, vqa_accuracy
from edge_agent.errors import InputError


def people(**said: int) -> list[str]:
    return [answer for answer, times in said.items() for _ in range(times)]


@pytest.mark.parametrize(
    ("answer", "given", "accuracy"),
    [
        ("yes", people(yes=10), 1.0),
        ("no", people(yes=10), 0.0),
        ("no", people(yes=9, no=1), 9 / 10 / 3),  # nine others see one match, the tenth none
        ("no", people(yes=8, no=2), (8 * 2 / 3 + 2 * 1 / 3) / 10),
        ("no", people(yes=7, no=3), (7 * 1 + 3 * 2 / 3) / 10),
        ("no", people(yes=6, no=4), 1.0),
        ("maybe", people(yes=6, no=4), 0.0),
    ],
)
def test_each_person_in_turn_is_left_out(answer: str, given: list[str], accuracy: float) -> None:
    assert vqa_accuracy(answer, given) == pytest.approx(accuracy)


def test_nothing_is_normalised_where_all_agree_to_the_letter() -> None:
    assert vqa_accuracy("Two.", ["two"] * 10) == 0.0
    assert vqa_accuracy("Two.", ["two"] * 9 + ["2"]) == 1.0
    assert vqa_accuracy(" two\n", ["two"] * 10) == 1.0


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Red Cup", "red cup"),
        ("a dog and an owl", "dog and owl"),
        ("none", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("red/blue", "red blue"),
        ("red / blue", "red blue"),
        ("well-known", "well known"),
        ("yes!", "yes"),
        ("3.5", "3.5"),
        ("St. Louis.", "st louis"),
        ("1,000", "1000"),
        ("1,000 (about)", "1000 about"),
        ("1,000-page", "1000page"),  # the comma between digits takes every other mark along, too
        ("dont", "don't"),
        ("couldntve", "couldntve"),
        ("couldn'tve", "couldn't've"),
        ("couldnt've", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("y'alldve", "y'alldve"),
        ("it's", "it's"),
    ],
)
def test_normalisation_as_the_official_evaluation_has_it(text: str, plain: str) -> None:
    assert normalised(text) == plain


def test_contractions_are_those_that_are_typed_without_an_apostrophe() -> None:
    assert CONTRACTIONS["youve"] == "you've"
    assert CONTRACTIONS["yall'd've"] == CONTRACTIONS["y'alld've"] == CONTRACTIONS["y'all'dve"] == "y'all'd've"
    assert "hell" not in CONTRACTIONS
    assert "well" not in CONTRACTIONS


def question(number: int, image: int = 42, text: str = "Is it a cat?") -> dict[str, Any]:
    return {"question_id": number, "image_id": image, "question": text}


def annotation(number: int, answers: list[str], kind: str = "yes/no") -> dict[str, Any]:
    return {
        "question_id": number,
        "image_id": 42,
        "question_type": "is it",
        "answer_type": kind,
        "multiple_choice_answer": answers[0],
        "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": i + 1} for i, a in enumerate(answers)],
    }


def official(folder: Path, changes: Callable[[dict[str, Any], dict[str, Any]], object] | None = None) -> Path:
    """A folder with two questions about one photo, in the official layout."""
    asked = {
        "info": {"version": "2.0"},
        "task_type": "Open-Ended",
        "data_type": "mscoco",
        "data_subtype": "val2014",
        "questions": [question(420000), question(420001, text="How many?")],
    }
    judged = {
        "info": {"version": "2.0"},
        "data_type": "mscoco",
        "data_subtype": "val2014",
        "annotations": [annotation(420001, ["2"] * 10, "number"), annotation(420000, people(yes=7, no=3))],
    }
    if changes is not None:
        changes(asked, judged)
    (folder / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps(asked))
    (folder / "v2_mscoco_val2014_annotations.json").write_text(json.dumps(judged))
    photos = folder / "val2014"
    photos.mkdir(exist_ok=True)
    (photos / "COCO_val2014_000000000042.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


def test_questions_are_joined_with_their_annotations_by_id(tmp_path: Path) -> None:
    first, second = read_questions([official(tmp_path)], None, None, 0)
    assert (first.row.question, first.row.kind, first.question_type) == ("Is it a cat?", "yes/no", "is it")
    assert first.answers == tuple(people(yes=7, no=3))
    assert second.answers == ("2",) * 10
    assert first.row.image.name == "COCO_val2014_000000000042.jpg"


def test_both_files_may_be_named_in_any_order_with_the_photos_elsewhere(tmp_path: Path) -> None:
    folder = official(tmp_path)
    files = sorted(folder.glob("*.json"))
    for paths in (files, files[::-1]):
        assert len(read_questions(paths, folder / "val2014", None, 0)) == 2
    assert len(read_questions(files, None, 1, 3)) == 1


BAD: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "no questions": (lambda q, a: q.pop("questions"), "0 files with a list `questions`"),
    "an empty list": (lambda q, a: q["questions"].clear(), "has no questions"),
    "no annotations": (lambda q, a: a.pop("annotations"), "0 files with a list `annotations`"),
    "no subset": (lambda q, a: q.pop("data_subtype"), "no text `data_subtype`"),
    "no id": (lambda q, a: q["questions"][1].pop("question_id"), "question 1: `question_id` is None"),
    "an id in words": (lambda q, a: q["questions"][1].update(question_id="x"), "question 1: `question_id` is x"),
    "a negative photo": (lambda q, a: q["questions"][0].update(image_id=-1), "question 0: `image_id` is -1"),
    "no words": (lambda q, a: q["questions"][0].pop("question"), "question 0: no text `question`"),
    "unanswered": (lambda q, a: a["annotations"].pop(), "question 420000 has no annotation"),
    "no answers": (lambda q, a: a["annotations"][0].update(answers=[]), "annotation 0: no list `answers`"),
    "a nameless answer": (lambda q, a: a["annotations"][0]["answers"][3].pop("answer"), "without a text `answer`"),
    "no type": (lambda q, a: a["annotations"][1].pop("answer_type"), "annotation 1: no text"),
    "twice": (lambda q, a: a["annotations"].append(a["annotations"][0]), "question 420001 is annotated twice"),
    "no photo": (lambda q, a: q["questions"][0].update(image_id=7), "no photo COCO_val2014_000000000007.jpg"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_damaged_files_are_refused_with_their_place(
    tmp_path: Path, changes: Callable[[dict[str, Any], dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_questions([official(tmp_path, changes)], None, None, 0)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_pair_of_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 files of questions or annotations"):
        read_questions([tmp_path], None, None, 0)
    folder = official(tmp_path)
    one = next(folder.glob("*questions.json"))
    with pytest.raises(InputError, match="0 files with a list `annotations`"):
        read_questions([one], None, None, 0)
    with pytest.raises(InputError, match="2 files with a list `questions`"):
        read_questions([one, one], None, None, 0)
    one.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_questions([folder], None, None, 0)
