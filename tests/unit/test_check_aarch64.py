"""What a board would install is looked at whole: every extra of users, on every Python that the project names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_every_extra_of_users_and_every_python_is_looked_at() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.check_aarch64", "--list"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    looked_at = json.loads(done.stdout)
    developers = {"test", "browser", "bench", "lint"}
    assert set(looked_at["extras"]) == set(project["optional-dependencies"]) - developers
    named = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert looked_at["pythons"] == named
