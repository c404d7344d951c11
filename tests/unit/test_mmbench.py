"""MMBench: the TSV in both official forms, the turns of circular evaluation, and which letter an answer means."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

import pytest

from edge_agent.cli.mmbench import chosen, figures
from edge_agent.cli.mmbench_data import Pass, read_mmbench, turned
from edge_agent.errors import InputError
from edge_agent.types import Answer, Decision, Route

COLUMNS = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source", "l2-category"]
PICTURE = b"\xff\xd8\xff a picture of more than sixty-four characters in base64, that is certain"
IMAGE = base64.b64encode(PICTURE).decode()


def row(index: int | str, answer: str = "B", **changed: str) -> dict[str, str]:
    fields = {
        "index": str(index),
        "question": "What is it?",
        "hint": "",
        "A": "a cat",
        "B": "a dog",
        "C": "a cow",
        "D": "",
        "answer": answer,
        "category": "object_localization",
        "image": IMAGE,
        "source": "made up",
        "l2-category": "finegrained",
    }
    return fields | changed


def written(folder: Path, *rows: dict[str, str], columns: list[str] = COLUMNS) -> Path:
    path = folder / "MMBench_DEV_EN.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_question_is_turned_once_per_option() -> None:
    passes = turned(Pass({"A": "cat", "B": "dog", "C": "cow"}, "B"))
    assert [(list(p.options.values()), p.answer) for p in passes] == [
        (["cat", "dog", "cow"], "B"),
        (["cow", "cat", "dog"], "C"),
        (["dog", "cow", "cat"], "A"),
    ]
    assert all(p.options[p.answer] == "dog" for p in passes)


def test_a_file_without_turns_gets_them(tmp_path: Path) -> None:
    (question,) = read_mmbench(written(tmp_path, row(7)))
    assert len(question.passes) == 3
    assert question.picture == PICTURE
    assert question.prompt(question.passes[0]) == (
        "Question: What is it?\nOptions:\nA. a cat\nB. a dog\nC. a cow\n"
        "Please select the correct answer from the options above."
    )


@pytest.mark.parametrize("image", [IMAGE, "7"], ids=["the picture again", "the index of the row that has it"])
def test_the_official_turns_are_taken_as_they_are(tmp_path: Path, image: str) -> None:
    rows = [row(9, hint="Look."), row(7)]
    rows += [row(1_000_007, "C", A="a cow", B="a cat", C="a dog", image=image)]
    rows += [row(2_000_007, "A", A="a dog", B="a cow", C="a cat", image=image)]
    nine, seven = read_mmbench(written(tmp_path, *rows))
    assert (nine.index, len(nine.passes)) == (9, 1)
    assert nine.prompt(nine.passes[0]).startswith("Hint: Look.\nQuestion: What is it?")
    assert [p.answer for p in seven.passes] == ["B", "C", "A"]
    assert [p.options["A"] for p in seven.passes] == ["a cat", "a cow", "a dog"]
    assert seven.picture == PICTURE


OPTIONS = {"A": "a cat", "B": "the dog", "C": "two dogs", "D": "3"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(C)", "C"),
        ("The answer is D", "D"),
        ("B. the dog", "B"),
        ("Dog!", "B"),
        ("cat", "A"),
        ("three", "D"),
        ("it is a cat", "A"),
        ("two dogs", "C"),
        ("a dog", "B"),
        ("A or B", None),
        ("horse", None),
        ("", None),
        ("the cat and the dog", None),
    ],
)
def test_which_letter_an_answer_means(text: str, letter: str | None) -> None:
    assert chosen(text, OPTIONS) == letter


def test_a_letter_without_an_option_means_nothing() -> None:
    assert chosen("D", {"A": "cat", "B": "dog"}) is None


def said(text: str) -> Answer:
    decision = Decision(Route.LOCAL, "local", "as asked")
    return Answer(text, Route.LOCAL, "as asked", 0.5, decision, timings_ms={"total": 5.0})


def test_only_a_question_right_in_every_pass_counts(tmp_path: Path) -> None:
    rows = [row(1), row(2, category="colour"), row(3, **{"l2-category": ""})]
    questions = read_mmbench(written(tmp_path, *rows))
    right, wrong = ["a dog"] * 3, ["B", "B", "B"]  # the text stays right in all turns, the letter in one
    result = figures(questions, [said(t) for t in right] + [said(t) for t in wrong] + [said("a dog")] * 2 + ["late"], 0)
    assert (result["n"], result["passes"]) == (3, 9)
    assert result["accuracy"] == pytest.approx(1 / 3)
    assert result["accuracy_first_pass"] == 1.0
    assert result["kinds"]["colour"] == {"n": 1, "accuracy": 0.0}
    assert result["kinds"]["object_localization"] == {"n": 2, "accuracy": 0.5}
    assert result["groups"] == {"finegrained": {"n": 2, "accuracy": 0.5}}
    assert (result["errors"], result["first_error"]) == (1, "late")


BAD = {
    "no option B": ([row(1, "A", B="")], ":2: options A, C"),
    "one option": ([row(1, "A", B="", C="")], ":2: options A:"),
    "an answer that is no option": ([row(1, "D")], ":2: answer is D"),
    "no answer": ([row(1, "")], ":2: answer is"),
    "an index in words": ([row(1), row("two")], ":3: index is two"),
    "a negative index": ([row(-1)], ":2: index is -1"),
    "an index of NaN": ([row("nan")], ":2: index is nan"),
    "an index twice": ([row(1), row(1)], ":3: index 1 is there twice"),
    "no picture": ([row(1, image="")], ":2: no image"),
    "a picture in no base64": ([row(1, image="%%%" + IMAGE)], ":2: the image is not base64"),
    "a picture that is elsewhere and isn't": ([row(1, image="55")], ":2: no image"),
    "no question": ([row(1, question=" ")], ":2: no question"),
    "no rows": ([], "has no rows"),
}


@pytest.mark.parametrize(("rows", "words"), BAD.values(), ids=BAD)
def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path, rows: list[dict[str, str]], words: str) -> None:
    with pytest.raises(InputError) as refused:
        read_mmbench(written(tmp_path, *rows))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("column", ["index", "question", "A", "answer", "category", "image"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    columns = [name for name in COLUMNS if name != column]
    with pytest.raises(InputError, match=f"no column {column}"):
        read_mmbench(written(tmp_path, row(1), columns=columns))


def test_a_row_of_too_few_cells_and_a_file_of_bytes_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, row(1))
    path.write_text(path.read_text() + "2\tWhat?\n")
    with pytest.raises(InputError, match=":3: not as many cells"):
        read_mmbench(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_mmbench(path)
