"""The tool that measures what `tmo` starts from, on a handful of questions, with the shipped pair."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.policy.tmo_responses import TASKS, read_responses

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "EDGE_AGENT_CLOUD_TOKEN"}


def questions(folder: Path) -> Path:
    """Two photos; five questions about the first, one about the second."""
    rng = np.random.default_rng(0)
    for number in range(2):
        assert cv2.imwrite(str(folder / f"{number}.jpg"), rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    rows = [{"image": "0.jpg", "question": q, "answer": "no"} for q in ("is there a cat?", "how many cats?") * 2]
    rows += [{"image": "0.jpg", "question": "is there a dog?", "answer": "no"}]
    rows += [{"image": "1.jpg", "question": "is there a cup?", "answer": "no"}]
    path = folder / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def measured(data: str, cloud: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.measure_tmo", data, "--cloud", cloud]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, env=ENVIRONMENT)


def test_the_tool_writes_a_table_that_the_policy_reads(tmp_path: Path) -> None:
    cloud = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert cloud.stdout is not None
    try:
        done = measured(str(questions(tmp_path)), json.loads(cloud.stdout.readline())["url"])
    finally:
        cloud.send_signal(signal.SIGTERM)
        cloud.wait(10)
        cloud.stdout.close()
    assert done.returncode == 0, done.stderr
    table = read_responses(done.stdout)
    assert table.asked[TASKS.index("presence")] == (4.0, 4.0)
    assert table.asked[TASKS.index("count")] == (2.0, 2.0)
    assert table.goes_on == (0.5, 1.0, 1.0, 1.0, 0.0)
    assert "edge-vqa" in table.measured_with
    record = json.loads(done.stdout)
    assert (record["sources"][0]["questions"], record["made_by"]) == (6, "tools/measure_tmo.py")


def test_a_cloud_that_does_not_answer_ends_the_measurement(tmp_path: Path) -> None:
    done = measured(f"{questions(tmp_path)}:2", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "2 of 2 questions were not answered by the cloud model" in done.stderr


if not (ROOT / "tools" / "measure_tmo.py").is_file():
    pytest.skip("the tools are not part of what is installed", allow_module_level=True)
