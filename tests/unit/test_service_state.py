"""`edge-agent service status` and `logs`: systemd's words as one line, and one line where there is no systemd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.service.state import State, parse

RUNS = """LoadState=loaded
ActiveState=active
SubState=running
StatusText=ready, 12 questions
NRestarts=3
Result=success
MainPID=4711
MemoryCurrent=104857600
"""
FAILED = """LoadState=loaded
ActiveState=failed
SubState=failed
StatusText=
NRestarts=5
Result=watchdog
MainPID=0
MemoryCurrent=18446744073709551615
"""


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """These programs, and no others, are on the path."""
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (RUNS, State("active", "running", "ready, 12 questions", 3, 4711, 100.0)),
        (FAILED, State("failed", "failed: watchdog", "", 5, None, None)),
        ("LoadState=not-found\nActiveState=inactive\n", State("not installed")),
        ("", State("not installed")),
        ("LoadState=loaded\nMainPID=[not set]\nnonsense\n", State("unknown")),
    ],
)
def test_what_systemd_says_is_read_whatever_is_missing(text: str, state: State) -> None:
    assert parse(text) == state


@pytest.mark.parametrize(("text", "code", "words"), [(RUNS, 0, "restarted 3 times"), (FAILED, 4, "service logs")])
def test_status_is_one_look_and_an_exit_code(
    text: str,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs(tmp_path, monkeypatch, systemctl="".join(f"echo '{line}'\n" for line in text.splitlines()))
    assert main(["service", "status"]) == code
    assert words in capsys.readouterr().out
    assert main(["service", "status", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["runs"] is (code == 0)


def test_a_service_that_is_not_there_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs(tmp_path, monkeypatch, systemctl="echo LoadState=not-found")
    assert main(["service", "status"]) == 4
    assert "edge-agent service install" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "logs"])
def test_without_systemd_one_line_says_so(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs(tmp_path, monkeypatch)
    assert main(["service", command]) == 3
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "edge-agent run" in said.err
    if command == "status":
        programs(tmp_path, monkeypatch, systemctl="echo Failed to connect to bus >&2; exit 1")
        assert main(["service", command]) == 3
        assert "Failed to connect to bus" in capsys.readouterr().err


def test_logs_are_the_journals_of_this_unit(tmp_path: Path) -> None:
    journal = tmp_path / "journalctl"
    journal.write_text('#!/bin/sh\necho "$@"\n')
    journal.chmod(0o755)
    command = [sys.executable, "-m", "edge_agent", "service", "logs", "--lines", "7", "--json"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": path})
    assert (done.returncode, done.stdout.split()) == (
        0,
        ["--unit=edge-agent.service", "--lines=7", "--no-pager", "--output=json"],
    )


@pytest.mark.parametrize("group", ["models", "config", "outbox", "service", "eval"])
def test_the_name_of_a_group_alone_shows_its_commands(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([group]) in (0, 2)
    said = capsys.readouterr()
    assert "Commands:" in said.out + said.err
    assert main([group, "lst"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
