"""The network lab with real processes: both kinds of link, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("EDGE_AGENT_CLOUD_TOKEN", "EDGE_AGENT_DATA")}


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.netlab", "--json", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, env=ENVIRONMENT, check=False)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    assert cv2.imwrite(str(tmp_path / "a.jpg"), np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    asked = [{"image": "a.jpg", "question": f"is there a {thing}?", "answer": "no"} for thing in ("cat", "dog")]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, asked)))
    return path


def test_routes_are_measured_across_a_relay_where_packets_are_not_asked_for(questions: Path, tmp_path: Path) -> None:
    given = ("--way", "streams", "--data", str(questions), "--limit", "2", "--deadline-ms", "60000", "--rtt", "80")
    work = ("--work", str(tmp_path / "work.jsonl"))
    local, cloud = rows(lab(*given, *work, "--routes", "local,cloud"))
    assert (local["route"], local["way"], local["cloud_share"], local["bytes_up_mean"]) == ("local", "streams", 0, 0)
    assert (local["wire_bytes_up_mean"], local["n"], local["errors"]) == (0, 2, 0)
    assert cloud["cloud_share"] == 1
    assert cloud["wire_bytes_up_mean"] > cloud["bytes_up_mean"] > 100
    assert cloud["latency_ms"]["p50"] >= 80  # at least the round trip that was asked for
    assert rows(lab(*given, *work, "--routes", "local")) == []  # it has been measured
    command = [sys.executable, "-m", "tools.netlab", "--report", work[1]]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "| 20 Mbit/s 80 ms 0 % |" in told.stdout


def test_questions_are_found_within_the_data_folder_and_a_wrong_file_is_one_line(questions: Path) -> None:
    command = [sys.executable, "-m", "tools.netlab", "--way", "streams", "--routes", "local", "--limit", "1", "--data"]
    within = ENVIRONMENT | {"EDGE_AGENT_DATA": str(questions.parent)}
    cases = ((questions.name, within, 0), (questions.name, ENVIRONMENT, 3), ("a.jpg", within, 3))
    for named, environment, code in cases:
        done = subprocess.run(
            [*command, named], cwd=ROOT, capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        assert done.returncode == code, done.stderr
        assert code == 0 or (named in done.stderr and done.stderr.count("\n") == 1)


def test_an_agent_that_does_not_start_is_told_with_its_words(questions: Path) -> None:
    done = lab("--way", "streams", "--data", str(questions), "--routes", "auto", "--policy", "nonsense", "--limit", "1")
    assert done.returncode != 0
    assert "route auto ended" in done.stderr
    assert "nonsense" in done.stderr


@pytest.mark.parametrize("way", ["streams", "packets"])
def test_a_plain_connection_sees_the_round_trip_and_no_more_than_the_rate(way: str) -> None:
    done = lab("--check", "--way", way, "--rtt", "40", "--rate", "2")
    if way == "packets" and "--way packets:" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    (row,) = rows(done)
    assert row["way"] == way
    assert row["seen"]["rtt_ms"] >= 40
    assert row["seen"]["up_mbit"] <= 2.2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--routes", "sideways"), "no route 'sideways'"),
        (("--rate", "0"), "a rate is not above 0"),
        (("--trace", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_emulated_is_refused_in_one_line(wrong: tuple[str, ...], said: str) -> None:
    done = lab("--data", "unused", *wrong)  # said before the questions are read
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
