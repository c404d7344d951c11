"""Reading a set of questions, the blind control, normalised exact match, intervals over photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.cli.vqa import Row, Scored, blinded, interval, is_right, latency, normalise, read_rows, sample
from edge_agent.errors import InputError
from edge_agent.types import Answer, Decision, Route


def test_normalisation() -> None:
    assert normalise("A Dog.") == "dog"
    assert normalise("Two") == "2"
    assert normalise("lamp, the chair") == "chair, lamp"
    assert is_right("The red cup", "red cup")
    assert not is_right("red", "red cup")


def rows(photos: int = 4, each: int = 3) -> list[Row]:
    return [Row(Path(f"/photo{p}.jpg"), f"q{p}{n}?", "yes", "presence") for p in range(photos) for n in range(each)]


def test_blind_gives_each_question_another_photo_and_the_same_to_all_of_a_photo() -> None:
    before, after = rows(), blinded(rows(), seed=3)
    assert all(a.image != b.image for a, b in zip(after, before, strict=True))
    assert len({(a.image, b.image) for a, b in zip(after, before, strict=True)}) == 4
    assert [a.question for a in after] == [b.question for b in before]
    with pytest.raises(InputError, match="at least two"):
        blinded(rows(photos=1), 0)


def test_a_sample_is_drawn_by_its_seed_and_keeps_the_order() -> None:
    assert sample(rows(), None, 0) == rows()
    drawn = sample(rows(), 5, 1)
    assert drawn == sample(rows(), 5, 1)
    assert drawn != sample(rows(), 5, 2)
    assert drawn == sorted(drawn, key=rows().index)


def test_the_interval_holds_the_share_and_is_wider_over_fewer_photos() -> None:
    def scored(photos: int, each: int) -> list[Scored]:
        return [Scored(row, int(row.image.stem[5:]) % 2 == 0, None) for row in rows(photos, each)]

    few, many = interval(scored(4, 50), 0), interval(scored(100, 2), 0)
    assert few[0] <= 0.5 <= few[1]
    assert many[0] < 0.5 < many[1]
    assert few[1] - few[0] > many[1] - many[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "no text in one of"),
        ('{"image": "a.jpg", "question": 3, "answer": "x"}', "no text in one of"),
        ('{"image": "none.jpg", "question": "?", "answer": "x"}', "no such photo"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    good = json.dumps({"image": "a.jpg", "question": "?", "answer": "x"})
    path = tmp_path / "set.jsonl"
    path.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(InputError, match=words) as caught:
        read_rows(path)
    assert f"{path}:3" in str(caught.value)


def test_an_empty_or_missing_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="has no rows"):
        read_rows(tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="No such file"):
        read_rows(tmp_path / "none.jsonl")


def test_a_photos_first_question_and_the_further_ones_have_medians_of_their_own() -> None:
    def took(photo: str, ms: float) -> Scored:
        made = Answer("yes", Route.LOCAL, "", 0.5, Decision(Route.LOCAL, "local", ""), timings_ms={"total": ms})
        return Scored(Row(Path(photo), "?", "yes", "all"), 1.0, made)

    found = latency([took("a", 50), took("a", 4), took("b", 70), took("a", 6), took("b", 8)])
    assert (found["first_p50"], found["further_p50"], found["p50"]) == (60, 6, 8)
    assert latency([took("a", 50)]) == {"p50": 50, "p95": 50, "first_p50": 50, "further_p50": None}
    assert latency([])["first_p50"] is None
