"""Ctrl-C and SIGTERM while a program starts: it ends with what a shell shows for them, and without a traceback."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.cli.running import run

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pull_that_is_ended_leaves_neither_folder_nor_pip_behind(number: signal.Signals, tmp_path: Path) -> None:
    pytest.importorskip("pip", reason="this environment was made without pip, which fetches packages")
    pull = (sys.executable, "-m", "edge_agent", "models", "pull", "pip:silero-vad", "--to", str(tmp_path / "models"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as index:  # never answers
        index.settimeout(60)
        found = {"PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}", "PIP_CONFIG_FILE": os.devnull}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | found
        environment["TMPDIR"] = str(temporary)
        with subprocess.Popen(pull, env=environment) as process:
            try:
                connection, _ = index.accept()
                assert list(temporary.glob("edge-agent-*")) != []
                process.send_signal(number)
                assert process.wait(20) == 128 + number
            finally:
                process.kill()
        with connection:
            connection.settimeout(20)
            while connection.recv(1 << 16):  # until the other end, which is pip, is gone
                pass
    assert list(temporary.glob("edge-agent-*")) == []


def test_a_hangup_means_nothing_under_nohup() -> None:
    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        return "done"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(work()) == "done"
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
        with pytest.raises(SystemExit) as left:
            run(work())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert left.value.code == 128 + signal.SIGHUP


def test_who_is_told_to_ignore_ctrl_c_goes_on(tmp_path: Path) -> None:
    command = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", *MODULE, "edge_agent", *ASK)
    code, said = interrupted(command, "click", signal.SIGINT, tmp_path)
    assert code == 3
    assert "there-is-none.jpg" in said
