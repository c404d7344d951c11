"""Made questions are true of the view that they are about, and give nothing away by themselves."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from tools.train.crops import crop_view, flip_view
from tools.train.labels import COCO, article, plural
from tools.train.questions import Asker, Question
from tools.train.views import Composer

NAMES = ["tabby", "goldfish", "teapot"]


def view(objects: list[tuple[str, list[float]]], **more: Any) -> dict[str, Any]:
    part = {"path": "photo.jpg", "crop": [0, 0, 1, 1], "at": [0, 0, 1, 1], "flip": False}
    made = [{"label": label, "box": box} for label, box in objects]
    return {"source": "coco", "split": "train", "parts": [part], "objects": made, "unsure": [], "whole": True, **more}


DOG_AND_CAR = view([("dog", [0.05, 0.4, 0.3, 0.9]), ("car", [0.5, 0.2, 0.95, 0.9])])


def asked(seen: dict[str, Any], rounds: int = 200) -> list[Question]:
    asker = Asker(random.Random(0), NAMES)
    return [question for _ in range(rounds) for question in asker.ask(seen, [])]


def test_presence_is_true_of_the_view() -> None:
    denied = {q.text for q in asked(DOG_AND_CAR) if q.kind == "presence" and q.answer == "no"}
    assert denied
    for text in denied:
        assert " dog" not in text.replace("hot dog", "")
        assert " car" not in text.replace("carrot", "")


def test_yes_and_no_are_as_frequent_for_each_word() -> None:
    asker = Asker(random.Random(0), NAMES)
    scenes = [DOG_AND_CAR, view([("cat", [0.1, 0.1, 0.6, 0.6])]), view([("bus", [0.1, 0.1, 0.6, 0.6])])]
    for i in range(900):
        asker.ask(scenes[i % 3], [])
    for label in ("dog", "car", "cat", "bus"):
        assert asker.no[label] > 0.6 * asker.yes[label]


def test_unsure_labels_are_never_denied() -> None:
    unsure = view([("dog", [0.05, 0.4, 0.3, 0.9])], unsure=[label for label in COCO if label not in ("dog", "kite")])
    denied = {q.text for q in asked(unsure) if q.kind == "presence" and q.answer == "no"}
    assert denied
    assert all("kite" in text for text in denied)


def test_left_of_and_right_of_follow_the_boxes() -> None:
    answers = {(q.text, q.answer) for q in asked(DOG_AND_CAR) if q.kind == "relation"}
    assert ("is the dog left of the car?", "yes") in answers
    assert ("is the car left of the dog?", "yes") not in answers
    assert ("where is the dog?", "on the left") in {(q.text, q.answer) for q in asked(DOG_AND_CAR)}


def test_counts_are_the_numbers_of_boxes() -> None:
    three = view([("cup", [x / 10, 0.2, x / 10 + 0.1, 0.4]) for x in (1, 3, 5)])
    assert {q.answer for q in asked(three) if q.kind == "count"} == {"3"}


def test_questions_with_left_or_right_are_not_asked_of_a_mirrored_photo() -> None:
    human = view([], qa=[["what is left of the bed", "lamp"], ["what is on the bed", "pillow"]])
    mirrored = Counter(q.answer for q in asked(flip_view(human)) if q.kind == "daquar")
    assert mirrored["pillow"] > 0
    assert mirrored["lamp"] == 0
    assert Counter(q.answer for q in asked(human) if q.kind == "daquar")["lamp"] > 0


def test_mirroring_moves_boxes_to_the_other_side() -> None:
    box = flip_view(DOG_AND_CAR)["objects"][0]["box"]
    assert box == pytest.approx([0.7, 0.4, 0.95, 0.9])


def test_a_crop_keeps_boxes_inside_and_calls_cut_things_unsure() -> None:
    for seed in range(300):
        cut = crop_view(DOG_AND_CAR, random.Random(seed), 0.2)
        for thing in cut["objects"]:
            x0, y0, x1, y1 = thing["box"]
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
        assert not {o["label"] for o in cut["objects"]} & set(cut["unsure"])


def test_repeated_pictures_show_as_many_of_a_kind_as_they_say() -> None:
    composer = Composer([DOG_AND_CAR, view([("cat", [0.1, 0.1, 0.6, 0.6])])], random.Random(1))
    sizes = {max(Counter(o["label"] for o in composer.repeated()["objects"]).values()) for _ in range(60)}
    assert {2, 3, 4} <= sizes


def test_words_have_their_articles_and_plurals() -> None:
    assert article("apple") == "an apple"
    assert article("bench") == "a bench"
    assert [plural(w) for w in ("person", "bus", "bench", "knife")] == ["people", "buses", "benches", "knives"]
