"""The file for a bug report: it is useful, and nothing private of the user is in it."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from agents import photo
from boxes import open_box
from edge_agent.cli import doctor
from edge_agent.cli.checks.base import Check, Status
from edge_agent.cli.checks.report import Redactor, report_of, write_report
from edge_agent.cli.main import main
from edge_agent.clock import ManualClock
from edge_agent.config import Config, Loaded, load
from edge_agent.errors import UsageError

CHECK = Check("cloud", Status.WARN, "https://cloud.example.org:8443/v1?key=abc does not answer", "curl it")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rtsp://admin:pw@cam.home:554/stream1", "rtsp://***"),
        ("http://127.0.0.1:8787/healthz", "http://127.0.0.1:8787"),
        ("http://[::1]:8787/x", "http://[::1]:8787"),
        ("see 192.168.1.20 and 10.0.0.1", "see *** and ***"),
        ("fe80::1ff:fe23:4567:890a up", "*** up"),
        ("02:42:ac:11:00:02 is a card", "*** is a card"),
        ("write to jo@example.org", "write to ***"),
        ("token: hunter2hunter2", "token: ***"),
        ('"password": "s3cret"', '"password": ***'),
        ("/home/jo/models/x", "~/models/x"),
        ("jo-pi said, by jolanda", "jo-pi said, by USER"),
        ("kitchenpi fell", "MACHINE fell"),
        ("the sup3rsecret value", "the *** value"),
        ("1.31.1 and 12:30:05 stay", "1.31.1 and 12:30:05 stay"),
    ],
)
def test_what_is_private_is_taken_out_of_a_text(text: str, told: str) -> None:
    redact = Redactor(["sup3rsecret"], "jolanda", "kitchenpi", Path("/home/jo"))
    assert redact(text) == told


def configured(tmp_path: Path) -> Loaded:
    secret = tmp_path / "token"
    secret.write_text("topsecrettoken123")
    secret.chmod(0o600)
    path = tmp_path / "config.toml"
    path.write_text(
        f"""[cloud]
url = "https://cloud.example.org:8443"
token_file = "{secret}"
[run]
camera = "rtsp://admin:pw@cam.home/1"
state_dir = "{tmp_path / "state"}"
[trigger]
question = "is Anna home?"
min_gap_s = 7.0
[policy]
name = "cascade"
"""
    )
    return load(path)


def test_the_report_tells_settings_counts_and_versions_but_no_words(tmp_path: Path) -> None:
    loaded = configured(tmp_path)
    outbox = open_box(tmp_path / "state/outbox.sqlite3", ManualClock())
    outbox.put(photo("is Anna home?"), "asked")
    outbox.close()
    lines = [
        {"decision": {"policy": "cascade", "guards": ["money: spent"]}, "outcome": {"route": "local"}, "error": None,
         "question": "is Anna home?"},
        {"decision": {"policy": "cascade"}, "outcome": None, "error": "the time ran out: try again"},
    ]  # fmt: skip
    text = "half a line}\n" + "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "state/decisions.jsonl").write_text(text)
    file = tmp_path / "report.json"
    write_report(file, [CHECK], loaded)
    made = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert made["settings"]["trigger.min_gap_s"] == 7.0
    assert made["settings"]["policy.name"] == "cascade"
    assert made["outbox"] == {"waiting": 1, "kept": 1}
    assert made["decisions"]["routes"] == {"local": 1, "refused": 1}
    assert made["decisions"]["errors"] == {"the time ran out": 1}
    assert made["decisions"]["guards"] == {"money": 1}
    assert "numpy" in made["packages"]
    whole = file.read_text()
    for private in ("Anna", "example.org", "cam.home", "admin", "topsecret", "key=abc"):
        assert private not in whole, private


def test_a_machine_without_any_state_gives_a_report_too(tmp_path: Path) -> None:
    loaded = Loaded(Config(), {}).override("run.state_dir", str(tmp_path / "none"), "test")
    made = report_of([CHECK], loaded)
    assert made["outbox"] == made["decisions"] == {}


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_report(file, [], Loaded(Config(), {}))
    assert file.read_text() == "mine"


def test_a_disk_that_fills_up_names_the_file(tmp_path: Path) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, usual[1]))  # fails as a full disk does: half way
    try:
        with pytest.raises(UsageError, match=r"report\.json cannot be written"):
            write_report(tmp_path / "report.json", [CHECK], Loaded(Config(), {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_the_doctor_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda path, url: [CHECK])
    assert main(["doctor", "--report", "bug.json"]) == 0
    assert json.loads(Path("bug.json").read_text())["checks"][0]["detail"] == "https://*** does not answer"
    assert "read it first" in capsys.readouterr().out
    assert main(["doctor", "--report", os.devnull + "/x"]) == 2
