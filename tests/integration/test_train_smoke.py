"""The training code in miniature: the loss falls, the picture decides, growing a decoder changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: the training tools are not tested here")


@pytest.fixture(scope="module")
def report() -> dict[str, float]:
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed
    from tools.train.smoke import run

    return run(50)


def test_the_loss_falls(report: dict[str, float]) -> None:
    assert report["last_loss"] < 0.3 * report["first_loss"]


def test_the_picture_decides_the_answer(report: dict[str, float]) -> None:
    assert report["accuracy"] > 0.9


def test_growing_a_decoder_changes_nothing_at_first(report: dict[str, float]) -> None:
    assert report["grown_change"] < 1e-4
