"""Ctrl-C and SIGTERM while a program starts: it ends with what a shell shows for them, and without a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = (sys.executable, "-X", "importtime", "-m")
ASK = ("ask", "--image", "there-is-none.jpg", "what is it?")
CLOUD = ("cloud_stub", "--port", "0")
EARLY = ("logging", "click", "edge_agent.cli.main", "asyncio", "numpy")


def interrupted(command: tuple[str, ...], imported: str, number: signal.Signals, tmp_path: Path) -> tuple[int, str]:
    """Exit code and what was said after `imported` was there. Python says what it imports, line by line."""
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    assert process.stderr is not None
    with process:
        assert any(line.split()[-1] == imported for line in process.stderr), f"{imported} is not imported any more"
        process.send_signal(number)
        said = [line for line in process.stderr.read().splitlines() if not line.startswith("import time:")]
    return process.returncode, "\n".join(said)


@pytest.mark.parametrize("imported", EARLY)
def test_ctrl_c_while_it_starts_is_no_traceback(imported: str, tmp_path: Path) -> None:
    code, said = interrupted((*MODULE, "edge_agent", *ASK), imported, signal.SIGINT, tmp_path)
    assert code in (130, -signal.SIGINT)  # a shell shows 130 for both
    assert said in ("", "edge-agent: interrupted")


@pytest.mark.parametrize("imported", ["argparse", "asyncio", "aiohttp", "numpy"])
def test_ctrl_c_while_the_cloud_starts_is_no_traceback(imported: str, tmp_path: Path) -> None:
    code, said = interrupted((*MODULE, *CLOUD), imported, signal.SIGINT, tmp_path)
    assert code in (0, 130, -signal.SIGINT)
    assert "Traceback" not in said


@pytest.mark.parametrize("program", [("edge_agent", *ASK), CLOUD])
def test_sigterm_while_it_starts_says_nothing(program: tuple[str, ...], tmp_path: Path) -> None:
    code, said = interrupted((*MODULE, *program), "numpy", signal.SIGTERM, tmp_path)
    assert code in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert said == ""


def test_the_installed_command_is_like_the_module(tmp_path: Path) -> None:
    script = shutil.which("edge-agent", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("edge-agent is not installed beside this Python")
    code, said = interrupted((script, *ASK), "click", signal.SIGINT, tmp_path)
    assert code in (130, -signal.SIGINT)
    assert said == ""


def test_who_is_told_to_ignore_ctrl_c_goes_on(tmp_path: Path) -> None:
    command = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", *MODULE, "edge_agent", *ASK)
    code, said = interrupted(command, "click", signal.SIGINT, tmp_path)
    assert code == 3
    assert "there-is-none.jpg" in said
