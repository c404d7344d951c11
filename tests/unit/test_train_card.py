"""The model card's tables: what is shipped is what is listed, and what int8 costs stands beside it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from tools.train.card import all_of_daquar, card, comparison, rounding, shipped_rows, table

ROOT = Path(__file__).resolve().parents[2]
EQUALITY = re.compile(r"in (?P<equal>\d+) of (?P<compared>\d+)\ncases, and those .* in (?P<equal_to_unrounded>\d+)\.")


def row(bundle: str, right: float, views: int, **more: Any) -> dict[str, Any]:
    share = {"n": 4, "picture": right, "blind": 50.0, "majority": 49.0, "interval": [1.0, 99.0]}
    return {"set": "coco", "bundle": bundle, "views": views, "all": share, "confidence_auc": 0.75, "kinds": {}, **more}


PAIR = [row("edge-vqa", 74.6, 1, weights="int8"), row("cloud-vqa", 75.3, 5)]  # a report of before says no weights
FLOAT = [row("edge-vqa", 74.4, 1, weights="float"), row("cloud-vqa", 75.5, 5, weights="float")]


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_what_int8_costs_is_shown_set_by_set() -> None:
    made = rounding([*PAIR, row("cloud-vqa", 1.0, 1), *FLOAT])
    assert lines_of(made, "| set") == ["| set | edge, int8 | edge, float | cloud, int8 | cloud, float |"]
    assert lines_of(made, "| COCO") == ["| COCO dev (made questions) | 74.6 | 74.4 | 75.3 | 75.5 |"]
    assert lines_of(made, "| mosaics") == ["| mosaics of crops never trained on | - | - | - | - |"]


def test_the_decoders_without_what_reckons_have_columns_of_their_own() -> None:
    plain = [row("cloud-plain", 64.5, 5), row("cloud-plain", 64.4, 5, weights="float"), row("cloud-plain", 1.0, 1)]
    made = rounding([*PAIR, *plain])
    assert lines_of(made, "| set") == ["| set | cloud without what reckons, int8 | cloud without what reckons, float |"]
    assert lines_of(made, "| COCO") == ["| COCO dev (made questions) | 64.5 | 64.4 |"]
    assert lines_of(comparison([*PAIR, *plain]), "| COCO") == [
        "| COCO dev (made questions) | 74.6 | 75.3 | 64.5 | 1.0 |"
    ]


def test_what_was_not_measured_is_said() -> None:
    assert "not measured" in rounding(PAIR)
    assert lines_of(rounding([*PAIR, FLOAT[0]]), "| COCO") == ["| COCO dev (made questions) | 74.6 | 74.4 |"]


def test_unrounded_weights_do_not_stand_in_for_the_shipped_ones() -> None:
    for rows in ([*FLOAT, *PAIR], [*PAIR, *FLOAT]):
        assert lines_of(comparison(rows), "| COCO") == ["| COCO dev (made questions) | 74.6 | 75.3 |"]


def test_the_confidence_stands_beside_the_accuracy_of_each_set() -> None:
    assert table(PAIR[:1]).splitlines()[-1].endswith("| 74.6 | 1.0-99.0 | 50.0 | 49.0 | 0.750 |")


def test_all_questions_of_daquar_are_told_apart_from_the_sample() -> None:
    share = {"n": 9, "picture": 21.0, "interval": [19.3, 22.6]}
    every = [{"set": "daquar-all", "bundle": name, "views": 5, "all": share} for name in ("cloud", "edge blind")]
    wanted = "\nAll 9 questions of DAQUAR dev instead of 750: cloud 21.0 (19.3-22.6), edge blind 21.0 (19.3-22.6).\n"
    assert all_of_daquar([*PAIR, *every]) == wanted
    assert all_of_daquar(PAIR) == ""


@pytest.mark.parametrize(("name", "views"), [("edge-vqa", 1), ("cloud-vqa", 5)])
def test_the_shipped_cards_are_those_that_their_report_and_manifests_make(name: str, views: int) -> None:
    report = (ROOT / "tools" / "train" / "report.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in report]
    shipped = (ROOT / "models" / name / "README.md").read_text("utf-8")
    compared = EQUALITY.search(shipped)  # what `export` found, which is kept nowhere else
    assert compared is not None
    equality = {key: int(value) for key, value in compared.groupdict().items()}
    assert card(ROOT / "models" / name, shipped_rows(rows, name, views), rows, equality) == shipped
