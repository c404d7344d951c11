"""No telemetry: what the model's runtime would leave and send by itself is switched off before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from edge_agent.config import Config
from edge_agent.cli.build import open_model
open_model(Config())
"""
SUPPRESSING = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "BUILD_", "JENKINS_", "PYTEST", "ORT_", "HOME", "XDG_")


def left_in_the_home(home: Path, **more: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SUPPRESSING)}
    home.mkdir()
    environment = {**kept, "HOME": str(home), **more}
    subprocess.run([sys.executable, "-c", CODE], check=True, env=environment, cwd=home, capture_output=True)
    return [str(path.relative_to(home)) for path in home.rglob("*") if "onnxruntime" in path.name.lower()]


def test_opening_a_model_leaves_no_device_id_of_the_runtime_behind(tmp_path: Path) -> None:
    assert left_in_the_home(tmp_path / "empty") == []


def test_that_test_would_see_it(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) < (1, 29):
        pytest.skip("this ONNX Runtime has no telemetry")
    if not left_in_the_home(tmp_path / "empty", ORT_DISABLE_TELEMETRY="0"):
        pytest.skip("this ONNX Runtime was built without telemetry, or takes this machine for a build server")
