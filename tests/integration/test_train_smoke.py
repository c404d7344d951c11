"""The training code in miniature: the loss falls; picture, name and sound decide; growing a decoder changes nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("torch", "tokenizers", "cv2")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: the training tools are not tested here")
    done = subprocess.run(
        [sys.executable, "-m", "tools.train.smoke"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_the_loss_falls(report: dict[str, Any]) -> None:
    assert report["last_loss"] < 0.3 * report["first_loss"]


@pytest.mark.parametrize("views", ["accuracy", "accuracy_with_tiles"])
def test_the_picture_its_name_and_the_sound_decide_the_answer(report: dict[str, Any], views: str) -> None:
    colour, name, sound = report[views]
    assert min(colour, name, sound) > 0.9


def test_growing_a_decoder_changes_nothing_at_first(report: dict[str, Any]) -> None:
    assert report["grown_change"] < 1e-4
