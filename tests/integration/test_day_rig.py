"""A short day of mishaps against the real agent: every question ends, and nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "tools" / "day_rig").is_dir():
    pytest.skip("the tools are not part of what is installed", allow_module_level=True)


def test_a_short_day_ends_every_question_and_loses_nothing_that_was_acknowledged() -> None:
    command = [sys.executable, "-m", "tools.day_rig", "--minutes", "0.3", "--rate", "1.5", "--seed", "3"]
    environment = {name: value for name, value in os.environ.items() if name != "EDGE_AGENT_CLOUD_TOKEN"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout)
    assert figures["questions"] > 5
    ended = sum(figures["answered"].values()) + sum(figures["refused"].values())
    assert ended == figures["questions"]
    assert (figures["unended"], figures["ended_twice"], figures["acknowledged_lost"]) == (0, 0, 0)
    assert sum(figures["mishaps"].values()) >= 3
    assert figures["mishaps"]["camera rig lost"] >= figures["camera_losses_wanted"] >= 1
    assert figures["children"]["last"] <= 3, "the camera's process, the cloud's and the witness"
    assert figures["late_among_others"] <= figures["answered_late"]
    verdicts = {line.split(": ")[1]: line.split(":")[0].strip() for line in done.stderr.splitlines() if ": " in line}
    assert verdicts["every question ends once, by an answer or a typed refusal"] == "holds"
    assert set(verdicts.values()) <= {"holds", "fails", "not shown"}


@pytest.mark.parametrize("wish", [("--minutes", "-1"), ("--rate", "0"), ("--deadline", "nan")])
def test_a_day_that_cannot_be_is_refused(wish: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "tools.day_rig", *wish]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{wish[0]} must be more than 0" in done.stderr
