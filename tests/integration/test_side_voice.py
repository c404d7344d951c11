"""The networks for speech themselves, on real recordings. They come with `edge-agent models pull`, else this skips."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import EdgeAgentError, ModelError, UsageError
from edge_agent.sources.sound import load_sound
from edge_agent.store import side_models
from edge_agent.types import F32, AudioWindow
from edge_agent.voice import Ear, SpeechActivity, SpeechGate, SpeechRules, Transcriber, WakeWord
from edge_agent.voice.activity import WINDOW
from edge_agent.voice.gate import Edge
from media import make_clip
from sides import side_folder


@pytest.fixture(scope="module")
def speech() -> SpeechActivity:
    return SpeechActivity(side_folder(side_models.SPEECH) / side_models.SPEECH.files[0].name)


def begins(speech: SpeechActivity, samples: F32) -> int:
    speech.reset()
    gate = SpeechGate(SpeechRules())
    return sum(gate.take(one) is Edge.BEGAN for one in speech.feed(samples))


@pytest.mark.parametrize("name", ["beckett.wav", "two_cities.wav"])
def test_speech_is_heard_at_any_usual_loudness(speech: SpeechActivity, data_dir: Path, name: str) -> None:
    samples = load_sound(data_dir / "clips" / name, 10.0).samples
    for gain in (1.0, 0.1):
        assert begins(speech, samples * np.float32(gain)) >= 1


def test_chime_rain_dogs_and_noise_are_no_speech(speech: SpeechActivity, data_dir: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)
    assert begins(speech, noise) == begins(speech, np.zeros(80_000, np.float32)) == 0
    assert begins(speech, load_sound(data_dir / "clips" / "success.wav").samples) == 0
    sounds = [
        path for name in ("rain", "sea_waves", "clock_tick") for path in sorted((data_dir / "esc10" / name).iterdir())
    ]
    fired = [path.name for path in sounds[::10] if begins(speech, load_sound(path).samples)]
    assert len(sounds) > 50
    assert fired == []


def test_what_is_told_does_not_depend_on_where_chunks_are_cut(speech: SpeechActivity, data_dir: Path) -> None:
    samples = load_sound(data_dir / "clips" / "beckett.wav", 3.0).samples
    speech.reset()
    whole = speech.feed(samples)
    speech.reset()
    cut = [one for at in range(0, len(samples), 1600) for one in speech.feed(samples[at : at + 1600])]
    assert cut == whole
    assert len(whole) == len(samples) // WINDOW
    assert max(whole) > 0.9


def test_a_file_that_is_no_such_network_is_refused(tmp_path: Path) -> None:
    junk = tmp_path / "silero.onnx"
    junk.write_bytes(b"no network")
    with pytest.raises(ModelError, match="cannot be loaded"):
        SpeechActivity(junk)


def test_other_words_and_silence_do_not_wake_and_an_unknown_word_is_refused(data_dir: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'edge-agent[voice]'")
    place = side_folder(side_models.WAKE_WORDS)
    samples = load_sound(data_dir / "clips" / "beckett.wav").samples
    for word in ("hey_jarvis", "alexa", "okay_nabu", "hey_mycroft", "hey_rhasspy"):
        probabilities = WakeWord(place, word).feed(samples)
        assert len(probabilities) > 50
        assert max(probabilities) < 0.5, word
    with pytest.raises(UsageError, match="alexa, hey_jarvis"):
        WakeWord(place, "hey_you")


def spoken(text: str, folder: Path) -> F32:
    """Said by the synthesiser flite, where it is installed."""
    if shutil.which("flite") is None:
        pytest.skip("apt install flite: it speaks the wake word")
    path = folder / "said.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(path)], check=True, timeout=60)
    return load_sound(path).samples


def test_a_question_after_the_wake_word_is_written_down(speech: SpeechActivity, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'edge-agent[voice]'")
    pytest.importorskip("faster_whisper", reason="pip install 'edge-agent[stt]'")
    wake = WakeWord(side_folder(side_models.WAKE_WORDS), "hey_jarvis")
    write = Transcriber(side_folder(side_models.WHISPER))
    quiet = np.zeros(32_000, np.float32)
    parts = [quiet, spoken("hey jarvis", tmp_path), quiet[:8000], spoken("is there a dog in the picture", tmp_path)]
    sound = np.concatenate([*parts, quiet])
    speech.reset()
    ear = Ear(speech, SpeechRules(), wake)
    questions = []
    for at in range(0, len(sound), 1600):
        heard = ear.hear(AudioWindow(sound[at : at + 1600], 16_000, at / 16_000))
        if heard.question is not None:
            questions.append(heard.question)
    assert len(questions) == 1
    words = write(questions[0]).lower()
    assert "dog in the picture" in words
    assert write(AudioWindow(quiet, 16_000)) == ""


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason="pip install 'edge-agent[stt]'")
    with pytest.raises(EdgeAgentError, match="cannot be read"):
        Transcriber(tmp_path)


def test_speech_in_a_clip_triggers_a_question_and_a_missing_network_ends_the_start(
    data_dir: Path, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 60, sound=load_sound(data_dir / "clips" / "beckett.wav", 6.0).samples)
    config = tmp_path / "config.toml"
    config.write_text("[trigger]\non_change = false\non_sound = false\n[voice]\non_speech = true\n")
    command = [sys.executable, "-m", "edge_agent", "run", "--clip", str(clip), "--fast", "--json", "--cloud", ""]
    command += ["--config", str(config)]
    refused = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "edge-agent models pull pip:silero-vad" in refused.stderr
    models = side_folder(side_models.SPEECH).parents[1]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "EDGE_AGENT_MODELS": str(models)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    asked = [json.loads(line) for line in done.stdout.splitlines()]
    assert asked
    assert {one["trigger"] for one in asked} == {"speech"}
    assert all(one["answer"] for one in asked)
