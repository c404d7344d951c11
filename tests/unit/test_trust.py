"""What `eval vqa` says of the confidence: which answers it tells apart, and how far it is from what came true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.cli.trust import area_under_curve, calibration_error, trust
from edge_agent.cli.vqa import Row, Scored, report
from edge_agent.types import Answer, Decision, Route

NEVER = {"auc": None, "auc_ci": None, "expected_calibration_error": None, "calibration_error_by_chance": None}


def test_the_area_counts_pairs_and_halves_ties() -> None:
    sure = np.array([0.9, 0.4, 0.4, 0.1])
    assert area_under_curve(sure, np.array([1.0, 1.0, 0.0, 0.0])) == 3.5 / 4
    assert area_under_curve(sure, np.array([0.0, 0.0, 1.0, 1.0])) == 0.5 / 4
    assert area_under_curve(sure, np.ones(4)) is None


def test_the_error_is_the_distance_to_what_came_true_bin_by_bin() -> None:
    sure = np.repeat([0.2, 0.8], 50)
    came = np.concatenate([np.arange(50) % 5 == 0, np.arange(50) % 5 != 0]).astype(float)
    assert calibration_error(sure, came) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(sure, 1 - came) == pytest.approx(0.6)


def test_honest_confidence_is_off_by_chance_alone_and_boasting_is_seen() -> None:
    generator = np.random.default_rng(2)
    sure = generator.random(2000)
    came = generator.random(2000) < sure
    made = trust(list(sure), list(came), range(2000), seed=0)
    assert made["expected_calibration_error"] < 2 * made["calibration_error_by_chance"] < 0.1
    assert made["auc_ci"][0] < made["auc"] < made["auc_ci"][1]
    boasting = trust(list(np.sqrt(sure)), list(came), range(2000), seed=0)
    assert boasting["expected_calibration_error"] > 5 * boasting["calibration_error_by_chance"]
    assert boasting["auc"] == made["auc"]


def test_questions_that_fail_together_by_photo_widen_the_interval() -> None:
    generator = np.random.default_rng(3)
    sure = np.repeat(generator.random(40), 10)
    came = np.repeat(generator.random(40), 10) < sure
    by_photo = trust(list(sure), list(came), np.arange(400) // 10, 0)["auc_ci"]
    by_question = trust(list(sure), list(came), range(400), 0)["auc_ci"]
    assert by_photo[1] - by_photo[0] > 2 * (by_question[1] - by_question[0])


def test_nothing_answered_is_nothing_known() -> None:
    assert trust([], [], [], 0) == NEVER


def test_a_run_reports_the_trust_of_what_was_answered() -> None:
    row = Row(Path("a.jpg"), "?", "yes", "all")

    def answered(sure: float, score: float) -> Scored:
        answer = Answer("yes", Route.LOCAL, "", sure, Decision(Route.LOCAL, "local", ""), timings_ms={"total": 1.0})
        return Scored(row, score, answer)

    scored = [answered(0.9, 1.0), answered(0.2, 0.0), Scored(row, 0.0, None, "no engine")]
    found = report(scored, 0)["confidence"]
    assert found["auc"] == 1.0
    assert found["expected_calibration_error"] == pytest.approx(0.15)
    assert report([Scored(row, 0.0, None, "no engine")], 0)["confidence"] == NEVER
