"""Mosaics show what they say, and the questions about them are true and give nothing away."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from tools.train.arranged import comparisons, corners, counted, counts, relations
from tools.train.mosaics import GridComposer, crops_of

LABELS = ("dog", "cat", "bus", "cup", "bird", "clock", "pizza", "sheep", "horse", "book")


def photo(label: str, box: list[float], *others: tuple[str, list[float]]) -> dict[str, Any]:
    part = {"path": f"{label}.jpg", "crop": [0, 0, 1, 1], "at": [0, 0, 1, 1], "flip": False}
    objects = [{"label": name, "box": at} for name, at in ((label, box), *others)]
    return {"source": "coco", "split": "train", "parts": [part], "objects": objects, "unsure": [], "whole": True}


PHOTOS = [photo(label, [0.2, 0.2, 0.7, 0.8]) for label in LABELS]


def grids(count: int) -> list[dict[str, Any]]:
    composer = GridComposer(PHOTOS, random.Random(3))
    return [composer.grid() for _ in range(count)]


def cell(
    *objects: tuple[str, int, int], columns: int = 3, rows: int = 2, unsure: tuple[str, ...] = ()
) -> dict[str, Any]:
    made = [
        {"label": label, "box": [x / columns, y / rows, (x + 1) / columns, (y + 1) / rows]} for label, x, y in objects
    ]
    return {"source": "grid", "objects": made, "unsure": list(unsure), "cells": [columns, rows]}


def test_every_cell_shows_the_crop_of_its_label() -> None:
    for view in grids(100):
        assert [Path(p["path"]).stem for p in view["parts"]] == [o["label"] for o in view["objects"]]
        assert [p["at"] for p in view["parts"]] == [o["box"] for o in view["objects"]]
        assert len(view["objects"]) == view["cells"][0] * view["cells"][1]


def test_numbers_from_one_to_six_occur() -> None:
    seen = Counter(number for view in grids(400) for number in counted(view).values())
    assert all(seen[number] > 10 for number in range(1, 7))


def test_counts_are_the_numbers_of_cells_and_leave_out_what_is_unsure() -> None:
    view = cell(("dog", 0, 0), ("dog", 1, 0), ("cat", 2, 0), ("cup", 0, 1), ("dog", 1, 1), unsure=("cup",))
    rng = random.Random(0)
    asked = {one for _ in range(50) for one in counts(view, rng)}
    assert {(answer, "dogs" in question) for question, answer, _ in asked} == {("3", True), ("1", False)}
    assert not any("cup" in question for question, _, _ in asked)


def test_comparisons_are_true_and_as_often_yes_as_no() -> None:
    rng, answers = random.Random(1), Counter()
    for view in grids(300):
        known = {f"{label}s": number for label, number in counted(view).items()}
        for question, answer, _ in comparisons(view, rng):
            found = re.search(r"(more|fewer|less) (\w+) than (\w+)", question)
            assert found is not None
            one, two = (known.get(found[i], known.get(found[i].removesuffix("es"), 0)) for i in (2, 3))
            if "sheep" not in question and "bus" not in question:
                assert answer == ("yes" if (one > two) == (found[1] == "more") else "no")
            answers[answer] += 1
    assert 0.4 < answers["yes"] / sum(answers.values()) < 0.6


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is the dog left of the cat?", "yes"),
        ("is the cat left of the dog?", "no"),
        ("is the cat right of the dog?", "yes"),
        ("is the dog above the cup?", "yes"),
        ("is the cup above the dog?", "no"),
    ],
)
def test_relations_follow_the_cells(question: str, answer: str) -> None:
    view, rng = cell(("dog", 0, 0), ("cat", 2, 0), ("cup", 0, 1)), random.Random(2)
    asked = {one[:2] for _ in range(200) for one in relations(view, rng)}
    assert (question, answer) in asked
    assert (question, "no" if answer == "yes" else "yes") not in asked


def test_corners_name_the_cell() -> None:
    view, rng = cell(("dog", 0, 0), ("cat", 2, 0), ("cup", 1, 1)), random.Random(2)
    asked = {one[:2] for _ in range(200) for one in corners(view, rng)}
    assert ("what is in the top left?", "dog") in asked
    assert ("what is in the bottom middle?", "cup") in asked
    assert ("where is the cat?", "top right") in asked


def test_a_crop_that_shows_two_of_a_kind_is_not_used() -> None:
    crowd = photo("dog", [0.1, 0.1, 0.6, 0.9], ("dog", [0.3, 0.1, 0.8, 0.9]), ("cup", [0.7, 0.7, 0.95, 0.95]))
    assert set(crops_of([crowd])) == {"cup"}
