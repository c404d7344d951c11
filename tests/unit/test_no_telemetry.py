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


@pytest.mark.parametrize(("set_by_the_user", "seen"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_it_is_switched_off_when_the_runtime_is_loaded_unless_its_user_wants_it(
    tmp_path: Path, set_by_the_user: dict[str, str], seen: str
) -> None:
    """In place of the runtime there is a module that tells what it was loaded with."""
    telling = "import os, sys; print(os.environ.get('ORT_DISABLE_TELEMETRY'), flush=True); sys.exit()"
    (tmp_path / "onnxruntime.py").write_text(telling)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    path = os.pathsep.join([str(tmp_path), kept.get("PYTHONPATH", "")])
    environment = {**kept, "PYTHONPATH": path, **set_by_the_user}
    done = subprocess.run([sys.executable, "-c", CODE], check=True, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [seen]
