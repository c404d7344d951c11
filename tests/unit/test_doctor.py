"""The doctor as a command: probes in child processes, the report, the exit code, and never a traceback."""

from __future__ import annotations

import json
import signal
import textwrap
from pathlib import Path

import pytest

from edge_agent.cli import doctor
from edge_agent.cli.checks.base import Check, Probed, Status, last_line, probe, signal_words
from edge_agent.cli.main import main

NAMES = [
    *("python", "kernels", "numpy", "cv2", "onnxruntime", "av", "tokenizers", "zstandard", "aiohttp", "mixture"),
    *("provider", "models", "answer", "camera", "microphone", "heat", "power", "memory", "disk", "clock", "config"),
    "cloud",
]


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of probes that end in every way a process can."""
    (tmp_path / "bad_probes.py").write_text(
        textwrap.dedent(
            """
            import os, signal, sys, time

            def fine(number): print("chatter of a library"); return {"twice": 2 * number}
            def wrong(): raise ImportError("libfoo.so.1: cannot open\\nlate line")
            def ends(): sys.exit(3)
            def signalled(number): os.kill(os.getpid(), number)
            def hangs(): time.sleep(60)
            def a_list(): return [1]
            def unspeakable(): os.write(1, b"\\xff\\xfe not json"); os._exit(0)
            """
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "bad_probes"


def test_a_probe_gives_its_values_whatever_else_was_printed(probes):
    assert probe("fine", probes=probes, number=21) == Probed({"twice": 42})


def test_an_exception_in_a_probe_is_its_last_line(probes):
    found = probe("wrong", probes=probes)
    assert found.error == "late line"
    assert not found.crashed


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGILL, "illegal instruction"), (signal.SIGSEGV, "segmentation fault"), (signal.SIGKILL, "memory")],
)
def test_a_signal_that_ends_a_probe_is_told_in_words(probes, number, words):
    found = probe("signalled", probes=probes, number=int(number))
    assert found.crashed
    assert words in found.error
    assert number.name in found.error


def test_a_probe_that_hangs_is_ended(probes):
    found = probe("hangs", probes=probes, within_s=0.5)
    assert found.crashed
    assert "0.5 s" in found.error


@pytest.mark.parametrize("name", ["ends", "a_list", "unspeakable", "not_there"])
def test_a_probe_that_gives_no_values_is_an_error_and_no_exception(probes, name):
    assert probe(name, probes=probes).error


def test_a_python_that_cannot_be_started_is_an_error_and_no_exception(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert "started" in probe("kernels").error


def test_a_file_in_the_working_folder_is_not_taken_for_a_library(tmp_path, monkeypatch):
    (tmp_path / "zstandard.py").write_text("raise RuntimeError('not the library')")
    monkeypatch.chdir(tmp_path)
    assert probe("library", module="zstandard", distributions=["zstandard"]).values["version"][0].isdigit()


def test_unknown_signals_and_empty_output_have_words_too():
    assert signal_words(200) == "ended by signal 200"
    assert last_line("\n \n") == ""


def test_the_report_has_every_check_once_and_reads_as_one_json_object(capsys):
    code = main(["doctor", "--json", "--cloud", ""])
    report = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in report["checks"]] == NAMES
    assert {key for check in report["checks"] for key in check} == {"name", "status", "detail", "fix"}
    assert report["ok"] == (code == 0)
    by_name = {check["name"]: check for check in report["checks"]}
    assert [by_name[name]["status"] for name in ("kernels", "numpy", "cv2", "aiohttp", "cloud")] == ["ok"] * 5


def canned(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, "examine", lambda path, url: [Check("python", Status.OK, "3.11"), *checks])


SELF_TEST = Check("kernels", Status.FAIL, "wrong", "mend", 5)
NO_MODEL = Check("models", Status.FAIL, "none", "fetch", 4)
BAD_CONFIG = Check("config", Status.FAIL, "bad", "edit", 2)
NO_CAMERA = Check("camera", Status.WARN, "none", "plug one in")


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([NO_CAMERA], 0),
        ([BAD_CONFIG, NO_CAMERA], 2),
        ([BAD_CONFIG, NO_MODEL], 4),
        ([BAD_CONFIG, NO_MODEL, SELF_TEST], 5),
    ],
)
def test_the_exit_code_is_that_of_the_worst_and_a_warning_is_not_bad(monkeypatch, capsys, checks, code):
    canned(monkeypatch, *checks)
    assert main(["doctor"]) == code
    shown = capsys.readouterr().out
    for check in checks:
        assert f"-> {check.fix}" in shown


def test_fixes_are_shown_only_where_something_is_to_be_done(monkeypatch, capsys):
    canned(monkeypatch, Check("heat", Status.OK, "40 degrees", "a fan"))
    assert main(["doctor"]) == 0
    assert "a fan" not in capsys.readouterr().out


def test_a_machine_on_which_every_probe_dies_still_gets_its_whole_report(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "probe", lambda name, **_: Probed(error=signal_words(signal.SIGILL), crashed=True))
    assert main(["doctor", "--json", "--cloud", "http://127.0.0.1:9"]) == 5
    report = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in report["checks"]] == NAMES
    failed = {check["name"] for check in report["checks"] if check["status"] == "fail"}
    assert failed >= {"kernels", "numpy", "onnxruntime", "models", "answer"}
    assert all(check["fix"] for check in report["checks"] if check["status"] in ("warn", "fail"))


@pytest.mark.parametrize("values", [{}, {"problems": 3, "bundles": None, "path": 7, "version": None, "inputs": 1}])
def test_probes_that_answer_nonsense_end_as_unknown_and_not_in_a_traceback(monkeypatch, capsys, values):
    monkeypatch.setattr(doctor, "probe", lambda name, **_: Probed(values))
    main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in report["checks"]] == NAMES
    assert "unknown" in {check["status"] for check in report["checks"]}


def test_a_broken_configuration_does_not_hide_the_other_checks(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(doctor, "probe", lambda name, **_: Probed(error="not looked at"))
    main(["doctor", "--json", "--config", str(tmp_path / "none.toml")])
    by_name = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert by_name["config"]["status"] == "fail"
    assert len(by_name) == len(NAMES)


def test_a_cloud_that_is_named_is_asked_for_its_health_and_its_absence_is_no_failure(monkeypatch, capsys):
    real = doctor.probe

    def only_cloud(name: str, **arguments: object) -> Probed:
        return real(name, **arguments) if name == "cloud" else Probed(error="not looked at")

    monkeypatch.setattr(doctor, "probe", only_cloud)
    main(["doctor", "--json", "--cloud", "http://127.0.0.1:9"])
    by_name = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert by_name["cloud"]["status"] == "warn"
    assert by_name["cloud"]["fix"] == "python -m cloud_stub"
