"""Speech: where it begins and ends, what wakes the device, and that the question after it is cut out whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from edge_agent.cli.hearing import Hearing, open_ear
from edge_agent.config import Config, RunSettings, VoiceSettings
from edge_agent.errors import ModelError, UsageError
from edge_agent.types import F32, AudioWindow
from edge_agent.voice import Ear, Heard, SpeechGate, SpeechRules
from edge_agent.voice.gate import Edge

CHUNK = 1600
RULES = SpeechRules(threshold=0.5, shortest_s=0.1, silence_s=0.5)


class Level:
    """A network that reads loudness: the largest sample of each 512 is its probability."""

    def __init__(self, of: Callable[[float], float] = lambda loudest: loudest) -> None:
        self._of, self._rest = of, np.zeros(0, np.float32)

    def feed(self, samples: F32) -> list[float]:
        heard = np.concatenate([self._rest, samples])
        count = len(heard) // 512
        self._rest = heard[count * 512 :]
        return [self._of(float(part.max())) for part in heard[: count * 512].reshape(count, 512)]

    def reset(self) -> None:
        self._rest = np.zeros(0, np.float32)


def wakes_at(level: float) -> Level:
    return Level(lambda loudest: 1.0 if loudest >= level else 0.0)


def chunks(*parts: tuple[float, float]) -> list[AudioWindow]:
    """Chunks of 0.1 s of (seconds, level) after another."""
    sound = np.concatenate([np.full(int(seconds * 16_000), level, np.float32) for seconds, level in parts])
    return [AudioWindow(sound[at : at + CHUNK], 16_000, at / 16_000) for at in range(0, len(sound), CHUNK)]


def heard(ear: Ear, windows: list[AudioWindow]) -> list[tuple[float, Heard]]:
    """What came up, each with the time at which its chunk began."""
    return [(one.start_s, made) for one in windows if (made := ear.hear(one)) != Heard()]


def test_speech_begins_once_and_ends_after_a_pause_but_not_at_a_breath() -> None:
    gate = SpeechGate(RULES)
    sounds = [0.9] * 10 + [0.0] * 10 + [0.9] * 10 + [0.0] * 20 + [0.9] * 10
    edges = [(at, edge) for at, level in enumerate(sounds) if (edge := gate.take(level))]
    assert [edge for _, edge in edges] == [Edge.BEGAN, Edge.ENDED, Edge.BEGAN]
    assert 30 + 15 <= edges[1][0] < 50


def test_a_click_is_no_speech_and_doubt_keeps_what_is() -> None:
    clicks = SpeechGate(RULES)
    assert [clicks.take(level) for level in [0.9, 0.0] * 40] == [None] * 80
    doubtful = SpeechGate(RULES)
    edges = [edge for level in [0.9] * 10 + [0.4] * 100 if (edge := doubtful.take(level))]
    assert edges == [Edge.BEGAN]


def test_the_question_after_the_wake_word_is_whole_and_ends_with_its_pause() -> None:
    ear = Ear(Level(), RULES, wakes_at(1.0), longest_s=8.0)
    made = heard(ear, chunks((1.0, 0.0), (0.3, 1.0), (0.5, 0.0), (2.0, 0.8), (2.0, 0.0)))
    (woken_s,) = [at for at, one in made if one.woken is not None]
    ((ended_s, question),) = [(at, one.question) for at, one in made if one.question is not None]
    assert 1.0 <= woken_s < 1.3
    assert 3.8 + RULES.silence_s - 0.2 <= ended_s <= 3.8 + RULES.silence_s + 0.3
    assert np.isclose(question.samples, 0.8).sum() == 2 * 16_000  # all of it
    assert question.start_s < woken_s + 0.1
    assert not ear.recording


def test_nobody_who_speaks_after_the_wake_word_is_no_question() -> None:
    ear = Ear(Level(), RULES, wakes_at(1.0), longest_s=8.0)
    made = heard(ear, chunks((0.3, 1.0), (6.0, 0.0)))
    assert [one for _, one in made if one.woken is not None]
    assert not [one for _, one in made if one.question is not None]
    assert not ear.recording
    assert [one for _, one in heard(ear, chunks((0.3, 1.0), (1.0, 0.6), (2.0, 0.0))) if one.question is not None]


def test_somebody_who_never_stops_is_cut_off() -> None:
    ear = Ear(Level(), RULES, wakes_at(1.0), longest_s=2.0)
    questions = [one.question for _, one in heard(ear, chunks((0.3, 1.0), (9.0, 0.8))) if one.question is not None]
    assert [len(one.samples) for one in questions] == [2 * 16_000]


def test_without_a_wake_word_speech_is_only_told_and_another_rate_is_not_listened_to() -> None:
    made = heard(Ear(Level(), RULES), chunks((1.0, 0.0), (2.0, 0.9), (2.0, 0.0), (2.0, 0.9)))
    assert [(one.speech is not None, one.woken, one.question) for _, one in made] == [(True, None, None)] * 2
    assert 1.0 <= made[0][0] < 1.3
    assert Ear(Level(), RULES).hear(AudioWindow(np.ones(CHUNK, np.float32), 8000)) == Heard()


def test_a_wake_word_alone_records_nothing_where_no_question_is_wanted() -> None:
    ear = Ear(Level(), RULES, wakes_at(1.0), longest_s=0.0)
    made = heard(ear, chunks((0.3, 1.0), (1.0, 0.8), (3.0, 0.0)))
    assert [one for _, one in made if one.woken is not None]
    assert not [one for _, one in made if one.question is not None]


@pytest.mark.parametrize("key", ["on_speech", "wake_word"])
def test_speech_without_a_microphone_or_a_network_is_refused_and_never_left_out(key: str) -> None:
    voice = VoiceSettings(on_speech=key == "on_speech", wake_word="alexa" if key == "wake_word" else "")
    with pytest.raises(UsageError, match="no microphone"):
        open_ear(Config(voice=voice, run=RunSettings(camera="0")))
    with pytest.raises(ModelError, match="models pull pip:silero-vad"):
        open_ear(Config(voice=voice, run=RunSettings(camera="0", microphone="default")))
    assert open_ear(Config()) is None


def listened(hearing: Hearing, windows: list[AudioWindow]) -> list[float]:
    async def play() -> list[float]:
        told = [speech for one in windows if (speech := await hearing.listen(one)) is not None]
        await asyncio.sleep(0.05)
        await hearing.close()
        return told

    return asyncio.run(play())


SPOKEN = chunks((0.3, 1.0), (0.5, 0.0), (1.0, 0.8), (2.0, 0.0))


def test_a_spoken_question_is_asked_in_its_words_and_speech_triggers_where_it_should() -> None:
    asked: list[str | None] = []

    def write(sound: AudioWindow) -> str:
        return f"{np.isclose(sound.samples, 0.8).sum() / 16_000:.1f} s"

    hearing = Hearing(Ear(Level(), RULES, wakes_at(1.0)), write, True, asked.append)
    assert listened(hearing, SPOKEN) == [pytest.approx(0.8)]
    assert asked == ["1.0 s"]
    silent = Hearing(Ear(Level(), RULES, wakes_at(1.0)), write, False, asked.append)
    assert listened(silent, SPOKEN) == []


def test_the_wake_word_can_ask_the_usual_question() -> None:
    asked: list[str | None] = []
    hearing = Hearing(Ear(Level(), RULES, wakes_at(1.0), longest_s=0.0), None, False, asked.append)
    assert listened(hearing, SPOKEN) == []
    assert asked == [None]


def test_silence_and_a_broken_network_ask_nothing_and_do_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str | None] = []

    def broken(_: AudioWindow) -> str:
        raise ModelError("no words")

    for write in (lambda _: "", broken):
        listened(Hearing(Ear(Level(), RULES, wakes_at(1.0)), write, False, asked.append), SPOKEN)

    def torn(_: float) -> float:
        raise ModelError("torn")

    assert listened(Hearing(Ear(Level(torn), RULES), None, True, asked.append), SPOKEN) == []
    assert asked == []
    assert "not understood" in caplog.text
    assert caplog.text.count("not listened to any more") == 1
