"""The predicted gain of asking the cloud finds what the cloud answers better, and measures judge as they say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from edge_agent.types import TokenEvent
from edge_agent.vlm.gain import GainModel
from tools.train.gain import changes, design, fit_gain, predict, recovered, routing_report
from tools.train.measures import area_under_curve, calibration_error, interval, normalise


@dataclass(frozen=True)
class Draft:
    least: float
    most: float
    right: bool
    question: str


def pairs(count: int) -> tuple[list[Draft], list[Draft]]:
    """The cloud is better at counting, a little worse at what is surely answered by the edge."""
    rng, edge, cloud = np.random.default_rng(0), [], []
    for i in range(count):
        question, least = ("how many dogs are there?" if i % 3 == 0 else "is there a dog?"), float(rng.uniform(0.4, 1))
        drafted = bool(rng.random() < least)
        better = bool(rng.random() < 0.9) if i % 3 == 0 else drafted
        edge.append(Draft(least, 1 - least, drafted, question))
        cloud.append(Draft(1, 0, better, question))
    return edge, cloud


def test_questions_that_the_cloud_answers_better_have_the_larger_predicted_gain() -> None:
    edge, cloud = pairs(600)
    fitted = fit_gain(edge, cloud)
    gain = predict(design(edge), np.asarray(fitted["helps"]), np.asarray(fitted["harms"]))
    counting = np.asarray(["how many" in draft.question for draft in edge])
    assert gain[counting].mean() > gain[~counting].mean() + 0.1


def test_sending_by_predicted_gain_recovers_more_than_sending_by_uncertainty() -> None:
    report = routing_report(*pairs(900))
    assert report["recovered_by_predicted_gain"] > report["recovered_by_uncertainty"]
    assert report["recovered_by_predicted_gain"] > 0.6


def test_everything_sent_recovers_the_whole_gain() -> None:
    edge, cloud = pairs(100)
    assert recovered(np.zeros(100), changes(edge, cloud), 1.0) == pytest.approx(1.0)


def test_measures_on_cases_that_can_be_computed_by_hand() -> None:
    assert normalise("A dog, the Cat!") == "dog cat"
    assert area_under_curve([0.9, 0.8, 0.3], [True, False, False]) == 1.0
    assert calibration_error(np.full(10, 0.7), np.array([1.0] * 7 + [0.0] * 3), bins=1) == pytest.approx(0.0)
    assert interval([[True], [True]]) == [100.0, 100.0]


def test_the_device_predicts_the_gain_that_was_fitted() -> None:
    """The runtime computes it from a draft's tokens, without NumPy, by what the manifest says."""
    edge, cloud = pairs(200)
    fitted = fit_gain(edge, cloud)
    wanted = predict(design(edge), np.asarray(fitted["helps"]), np.asarray(fitted["harms"]))
    model = GainModel.from_manifest(fitted)
    made = [model.expected(one.question, [TokenEvent(7, "x", one.least, one.most)]) for one in edge]
    assert made == pytest.approx(wanted, abs=1e-9)
