"""Policies through the command line: switched by a line of stdin, learned across processes, explained in words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from media import make_clip

AGENT = (sys.executable, "-m", "edge_agent")
DEMO = str(files("edge_agent") / "assets" / "demo.mp4")


def test_a_line_of_stdin_switches_the_policy_and_each_one_leaves_what_it_learned(
    tmp_path: Path, own_home: Path
) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 30)
    done = subprocess.run(
        [*AGENT, "run", "--clip", str(clip), "--fast", "--json", "--cloud", "", "--policy", "ucb"],
        input="/policy nobody\n/policy hybrid\n/polcy local\nis there a cat in the picture?",  # no newline at the end
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    asked = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["decision"]["policy"] for a in asked if a["trigger"] == "asked"] == ["hybrid"]  # no command is a question
    assert "no policy 'nobody'" in done.stderr
    assert "from now on hybrid decides" in done.stderr
    assert "no command '/polcy local': write /policy NAME, or a question" in done.stderr
    learned = sorted(own_home.rglob("policy-*.json"))
    assert [p.name for p in learned] == ["policy-hybrid.json", "policy-ucb.json"]
    assert json.loads(learned[0].read_text())["state"]["nodes"]["local"][2] > 0


def test_who_asks_without_end_does_not_make_the_agent_deaf(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 3)
    command = [*AGENT, "run", "--clip", str(clip), "--route", "local", "--cloud", ""]
    with (
        subprocess.Popen(["yes", "is there a cat?"], stdout=subprocess.PIPE) as asker,
        subprocess.Popen(
            command, stdin=asker.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
        ) as agent,
    ):
        try:
            assert agent.stdout is not None
            assert b"asked: is there a cat?" in agent.stdout.readline()
            agent.terminate()
            agent.communicate(timeout=60)
            assert agent.returncode == 0
        finally:
            agent.kill()
            asker.kill()


def test_times_of_a_camera_count_from_the_start_of_the_agent(tmp_path: Path) -> None:
    clip, started_s = make_clip(tmp_path / "c.mp4", [60] * 30), time.monotonic()
    command = [*AGENT, "run", "--camera", str(clip), "--route", "local", "--cloud", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=tmp_path) as agent:
        assert agent.stdout is not None
        first = agent.stdout.readline()
        agent.terminate()
    told = re.match(r"\[ *([0-9.]+) s\] change: ", first)
    assert told, first
    assert float(told[1]) <= time.monotonic() - started_s  # it was the time since the machine's boot


def test_a_decision_is_explained_by_what_would_change_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["decide", DEMO, "what is this?", "--policy", "cloud", "--explain"]
    assert main(arguments) == 0
    assert (
        "cloud's expected latency (is not known): below about 1e+04 ms it goes to the cloud" in capsys.readouterr().out
    )
    assert main([*arguments, "--json"]) == 0
    assert any("price of a cloud answer" in words for words in json.loads(capsys.readouterr().out)["turns"])


def test_an_explanation_says_where_nothing_would_change_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", DEMO, "what is this?", "--policy", "local", "--explain"]) == 0
    assert "no single number" in capsys.readouterr().out
