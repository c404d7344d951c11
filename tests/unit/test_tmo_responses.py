"""The measured table of TMO: what is read of it, what is refused, and whose it is."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.cli import build
from edge_agent.config import Config, PolicySettings
from edge_agent.policy.tmo_responses import NOTHING_KNOWN, TASKS, read_responses, shipped_responses


def document(**changed: Any) -> dict[str, Any]:
    kinds = len(TASKS)
    fields = {
        "version": 1,
        "tasks": list(TASKS),
        "right": [[1, 2]] * kinds,
        "asked": [[4, 4]] * kinds,
        "next_task": [[1 / kinds] * kinds] * kinds,
        "goes_on": [0.9, 0.8, 0.7, 0.5, 0.0],
        "measured_with": "a pair",
    }
    return fields | changed


def test_a_table_survives_its_file() -> None:
    read = read_responses(json.dumps(document()))
    assert read.right[0] == (1.0, 2.0)
    assert read.goes_on == (0.9, 0.8, 0.7, 0.5, 0.0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": 2}, "not version 1"),
        ({"tasks": ["count"]}, "its tasks are not"),
        ({"right": [[1, 2]]}, "`right` has no 6 rows"),
        ({"right": [[1]] * 6}, "without 2 numbers"),
        ({"right": [[5, 1]] * 6}, "more right than asked"),
        ({"asked": [[float("nan"), 4]] * 6}, "no number from 0 on"),
        ({"asked": [[-1, 4]] * 6}, "no number from 0 on"),
        ({"next_task": [[0.5] * 6] * 6}, "shares do not add up"),
        ({"goes_on": [2.0, 0, 0, 0, 0]}, "shares do not add up"),
        ({"goes_on": None}, "without 5 numbers"),
        ({"measured_with": None}, "which models"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_responses(json.dumps(document(**changed)))


def test_the_shipped_table_was_measured_on_both_locations() -> None:
    shipped = shipped_responses()
    assert shipped is not NOTHING_KNOWN
    for location in (0, 1):
        assert sum(row[location] for row in shipped.asked) >= 1000


def test_a_table_of_another_model_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tmo = replace(Config(), policy=PolicySettings(name="tmo"))
    monkeypatch.setattr(build, "shipped_responses", lambda: replace(NOTHING_KNOWN, measured_with="another pair"))
    with caplog.at_level(logging.WARNING):
        build.warn_if_stale(replace(tmo, policy=PolicySettings(name="msao")))
        assert caplog.text == ""
        build.warn_if_stale(tmo)
    assert "tmo's table is of another pair" in caplog.text
