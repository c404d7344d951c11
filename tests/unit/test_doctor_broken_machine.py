"""The doctor as a process of its own on machines whose libraries are broken: it reports them and lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.checks import probes

DIES = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"


def examined(folder: Path, libraries: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and checks by name of a doctor whose Python finds these instead of the real libraries."""
    for name, code in libraries.items():
        (folder / f"{name}.py").write_text(code)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "edge_agent", "doctor", "--json", "--cloud", "", *arguments]
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_numpy_of_another_processor_is_named_and_the_report_is_whole(tmp_path):
    code, checks = examined(tmp_path, {"numpy": DIES})
    assert code == 5
    assert len(checks) == 22
    for name in ("numpy", "kernels", "cv2", "models", "answer"):
        assert "illegal instruction" in checks[name]["detail"]
    assert checks["numpy"]["fix"] == "pip install --force-reinstall numpy"
    assert checks["zstandard"]["status"] == "ok"


def test_a_runtime_that_dies_or_is_missing_leaves_the_kernels_well_and_names_its_versions(tmp_path):
    broken = {"onnxruntime": DIES, "tokenizers": "raise ImportError('libfoo.so.1: no such file')"}
    code, checks = examined(tmp_path, broken)
    assert code == 4
    assert checks["kernels"]["status"] == checks["models"]["status"] == "ok"
    assert "!=1.21.0" in checks["onnxruntime"]["fix"]
    assert "libfoo.so.1" in checks["tokenizers"]["detail"]
    assert checks["answer"]["status"] == "fail"


def test_a_damaged_model_is_named_with_its_file(tmp_path, monkeypatch):
    bundle = tmp_path / "models" / "edge-vqa"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text("{")
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(bundle.parent))
    code, checks = examined(tmp_path, {})
    assert code == 4
    assert "manifest.json" in checks["models"]["detail"]
    assert checks["models"]["fix"]
    assert checks["numpy"]["status"] == "ok"


@pytest.mark.parametrize(
    ("distributions", "said"),
    [(["no-such-thing", "pytest"], version("pytest")), (["no-such-thing"], "of unknown version")],
)
def test_a_library_that_does_not_say_its_version_is_looked_up(distributions, said):
    assert probes.library("colorsys", distributions) == {"version": said}
