"""What a coarser level loses is never called nothing because too few answers were asked to see it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from tools.measure_levels import lost_by_a_change


def test_a_clear_loss_is_what_a_changed_answer_loses_on_average() -> None:
    truth = ["yes"] * 100
    level = ["no"] * 30 + ["yes"] * 70  # thirty right answers changed, all of them lost, one a photo
    assert lost_by_a_change([level], truth, truth, range(100)) == pytest.approx(1.0)


def test_changes_that_gain_as_often_as_they_lose_count_as_much_as_chance_could_hide() -> None:
    exact, truth = ["yes", "no"] * 8, ["yes"] * 16
    level = ["no", "yes"] * 8  # each second change gains, each second loses: sums of 1 and -1, sixteen photos
    assert lost_by_a_change([level], exact, truth, range(16)) == pytest.approx(0.25)
    together = [at // 2 for at in range(16)]  # a photo's two changes cancel: nothing is left to chance
    assert lost_by_a_change([level], exact, truth, together) == 0.0


def test_no_change_loses_nothing() -> None:
    assert lost_by_a_change([["yes"]], ["yes"], ["yes"], [0]) == 0.0
