"""The gate on instruction counts: what it prints, and that it closes."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GENEROUS = {"grey": {"scalar": 1000.0, "neon": 1000.0}}


def count(limits: Path, *options: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, rows, and what was said on stderr, of one case."""
    command = [sys.executable, "tools/count_instructions.py", "--case", "grey", "--limits", str(limits), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def table(folder: Path, limits: dict[str, dict[str, float]], goals: dict[str, dict[str, float]]) -> Path:
    path = folder / "limits.json"
    path.write_text(json.dumps({"goals": goals, "limits": limits}), encoding="utf-8")
    return path


def need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def test_the_gate_closes_above_a_limit_and_above_a_goal(tmp_path):
    need("cmake", "c++", "valgrind")
    status, rows, said = count(table(tmp_path, GENEROUS, {}), "--isa", "scalar")
    assert (status, said) == (0, "")
    assert [(row["case"], row["isa"], row["unit"], row["limit"]) for row in rows] == [
        ("grey", "scalar", "pixel", 1000.0)
    ]
    assert 1.0 < rows[0]["instructions"] < 100.0
    tight = {"grey": {"scalar": rows[0]["instructions"] * 0.9}}
    for limits, goals in ((tight, {}), (GENEROUS, tight)):
        status, rows, said = count(table(tmp_path, limits, goals), "--isa", "scalar")
        assert status == 5
        assert said.count("\n") == 1
        assert "grey on scalar takes" in said


def test_limits_are_written_a_little_above_what_is_counted_and_never_raised(tmp_path):
    need("cmake", "c++", "valgrind")
    path = table(tmp_path, {}, {})
    status, rows, _ = count(path, "--isa", "scalar", "--write")
    assert status == 0
    written = json.loads(path.read_text(encoding="utf-8"))["limits"]["grey"]["scalar"]
    assert rows[0]["instructions"] < written < rows[0]["instructions"] * 1.06
    tighter = {"grey": {"scalar": rows[0]["instructions"] * 1.01}}
    for limits, goals in (({}, tighter), (tighter, {})):
        path = table(tmp_path, limits, goals)
        count(path, "--isa", "scalar", "--write")
        assert json.loads(path.read_text(encoding="utf-8"))["limits"] == tighter


def test_neon_is_counted_under_qemu(tmp_path):
    need("cmake", "c++", "aarch64-linux-gnu-g++", "qemu-aarch64")
    if platform.machine() == "aarch64":
        pytest.skip("this machine has NEON itself")
    status, rows, said = count(table(tmp_path, GENEROUS, {}), "--isa", "neon")
    assert (status, said) == (0, "")
    assert [(row["isa"], row["counted_by"]) for row in rows] == [("neon", "qemu")]
    assert 0.1 < rows[0]["instructions"] < 20.0


def test_an_unknown_case_or_instruction_set_is_refused_by_name(tmp_path):
    need("cmake", "c++", "valgrind")
    limits = table(tmp_path, {}, {})
    assert count(limits, "--isa", "mmx")[0::2] == (2, "count_instructions: this machine has no kernels for mmx\n")
    status, _, said = count(limits, "--isa", "scalar", "--case", "grye")
    assert status == 2
    assert "no case is called grye; there are grey," in said
