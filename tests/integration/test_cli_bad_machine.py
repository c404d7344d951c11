"""A machine that is not as it should be at the start: one clear line and exit code, or on without that part."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agents import photo
from edge_agent.cli.main import main
from edge_agent.clock import ManualClock, SystemClock
from edge_agent.config import OutboxSettings
from edge_agent.service.late import opened_outbox
from edge_agent.store.outbox import Outbox
from media import make_clip

RUN = [sys.executable, "-m", "edge_agent", "run", "--json"]


def full_disk() -> None:
    """For a child: every write to a file fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    make_clip(path, [40, 200, 40, 200])
    return path


def test_a_full_disk_at_the_start_costs_the_log_and_the_money_but_no_answer(tmp_path: Path, clip: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[run]\nstate_dir = "{tmp_path / "state"}"\n[cloud]\nurl = "http://127.0.0.1:9"\n[outbox]\nkeep = "all"\n'
    )
    command = [*RUN, "--clip", str(clip), "--fast", "--config", str(config)]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=full_disk, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(line.get("answer") for line in lines)
    assert all(line.get("kept") is None for line in lines), "nothing is acknowledged"
    said = done.stderr.splitlines()
    for part, words in (("ledger", "no money is spent"), ("outbox", "no question waits"), ("decision log", "misses")):
        assert sum(part in line and words in line for line in said) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_a_camera_that_another_agent_holds_ends_with_one_line(tmp_path: Path) -> None:
    """What GStreamer's and rpicam's programs do where the device is busy: they say so and end."""
    program = tmp_path / "rpicam-vid"
    program.write_text("#!/bin/sh\necho 'Pipeline handler in use by another process' >&2\nexit 1\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [*RUN, "--camera", "rpicam:0"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=environment, cwd=tmp_path
    )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "Pipeline handler in use by another process" in done.stderr


def test_a_second_agent_on_one_state_folder_goes_on_without_outbox(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened_outbox(OutboxSettings(keep="all"), tmp_path, SystemClock()) as first:
        assert first is not None
        with opened_outbox(OutboxSettings(keep="all"), tmp_path, SystemClock()) as second:
            assert second is None
    assert [record.message for record in caplog.records if "belongs to another edge-agent" in record.message]


@pytest.mark.parametrize(
    ("command", "code"), [(["outbox", "list"], 2), (["outbox", "flush"], 2), (["calibrate", "--cloud-share", "0.3"], 3)]
)
def test_a_state_folder_of_somebody_else_is_one_line(
    command: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    truly = Path.is_file

    def is_file(path: Path) -> bool:
        """What Python says of a file in a folder that may not be entered; root may enter every folder."""
        if path.parent == tmp_path / "state":
            raise PermissionError(13, "Permission denied", str(path))
        return truly(path)

    config = tmp_path / "config.toml"
    config.write_text(f'[run]\nstate_dir = "{tmp_path / "state"}"\n')
    monkeypatch.setattr(Path, "is_file", is_file)
    assert main([*command, "--config", str(config)]) == code
    err = capfd.readouterr().err
    assert err.startswith(f"edge-agent: {tmp_path / 'state'}/")
    assert "cannot be read: [Errno 13] Permission denied" in err
    assert len(err.splitlines()) == 1


def test_an_outbox_with_a_torn_record_is_listed_and_the_record_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "outbox.sqlite3"
    with closing(Outbox(path, ManualClock(), 10**6, 1e9)) as outbox:
        for question in ("one?", "two?"):
            outbox.put(photo(question), "asked")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE waiting SET meta = substr(meta, 1, 20) WHERE id = 1")
        db.commit()
    config = tmp_path / "config.toml"
    config.write_text(f'[run]\nstate_dir = "{tmp_path}"\n')
    assert main(["outbox", "list", "--config", str(config)]) == 0
    said = capsys.readouterr()
    assert "two?" in said.out
    assert "one?" not in said.out
    with closing(Outbox(path, ManualClock(), 10**6, 1e9)) as outbox:
        head = outbox.head()
        assert head is not None
        assert head.question == "two?"
        assert outbox.counts()["damaged"] == 1
