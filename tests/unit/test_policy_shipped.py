"""The measured files of policies: set aside with a warning where they do not fit, and policies go on without."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from edge_agent.policy import levels, predictors, tmo_responses
from edge_agent.policy.shipped import shipped, versioned


@pytest.mark.parametrize(
    ("module", "read", "otherwise"),
    [
        (levels, levels.shipped_levels, None),
        (predictors, predictors.shipped_predictors, predictors.NOTHING_KNOWN),
        (tmo_responses, tmo_responses.shipped_responses, tmo_responses.NOTHING_KNOWN),
    ],
    ids=["levels", "predictors", "tmo_responses"],
)
def test_a_file_of_another_version_is_set_aside_and_said_to_be(
    module: object,
    read: Callable[[], object],
    otherwise: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert read() is not otherwise
    monkeypatch.setattr(module, "VERSION", 99)
    with caplog.at_level(logging.WARNING):
        assert read() is otherwise
    assert "does not fit: not version 99" in caplog.text or "do not fit: not version 99" in caplog.text


def test_a_file_that_is_missing_is_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert shipped("nothing.json", str.upper, 7, "it goes on") == 7
    assert "it goes on: " in caplog.text
    assert "nothing.json" in caplog.text


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"version": 2}', '{"version": "1"}'])
def test_what_is_no_object_of_that_version_is_refused(text: str) -> None:
    assert versioned('{"version": 1, "of": 2}', 1, "it")["of"] == 2
    with pytest.raises(ValueError, match=r"not version 1 of it|Expecting value"):
        versioned(text, 1, "it")
