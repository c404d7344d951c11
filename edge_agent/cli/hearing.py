"""What `run` makes of a microphone: speech as a trigger, a wake word, and the question that is spoken after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edge_agent.config import Config
from edge_agent.errors import EdgeAgentError, UsageError
from edge_agent.store import side_models
from edge_agent.types import AudioWindow
from edge_agent.voice import Ear, SpeechActivity, SpeechRules, Transcriber, WakeWord

Write = Callable[[AudioWindow], str]
log = logging.getLogger(__name__)


def open_ear(config: Config) -> tuple[Ear, Write | None] | None:
    """The networks that the configuration asks for, verified and loaded, and what writes a question down; None where it
    asks for none. Takes a second or two. Raises ModelError with the line that gets what is missing, UsageError.
    """
    voice = config.voice
    if not (voice.on_speech or voice.wake_word):
        return None
    _there_is_sound(config)
    rules = SpeechRules(voice.speech_threshold, voice.shortest_s, voice.silence_s)
    speech, wake, write = _speech(), _wake(config), _writer(config)
    longest_s = 0.0 if write is None else voice.longest_s
    return Ear(speech, rules, wake, voice.wake_threshold, longest_s), write


def parts_of(config: Config) -> list[Callable[[], object]]:
    """What `open_ear` does, each part by itself, for who wants to know all that is missing."""
    if not (config.voice.on_speech or config.voice.wake_word):
        return []
    return [lambda: _there_is_sound(config), _speech, lambda: _wake(config), lambda: _writer(config)]


def _there_is_sound(config: Config) -> None:
    if not (config.run.microphone or config.run.clip):
        raise UsageError("speech is to be heard and there is no microphone", "set run.microphone, or add --mic")


def _speech() -> SpeechActivity:
    return SpeechActivity(side_models.find(side_models.SPEECH) / side_models.SPEECH.files[0].name)


def _wake(config: Config) -> WakeWord | None:
    word = config.voice.wake_word
    return WakeWord(side_models.find(side_models.WAKE_WORDS), word) if word else None


def _writer(config: Config) -> Write | None:
    if not config.voice.wake_word or config.voice.after_wake != "question":
        return None
    return Transcriber(side_models.find(side_models.WHISPER), config.model.threads)


class Hearing:
    """Between the watcher and an ear. `ask` takes the words of a spoken question, or None: the trigger's own is meant.

    While a question is written down, which takes seconds, the watch goes on; another one that ends meanwhile is let go.
    """

    def __init__(self, ear: Ear, write: Write | None, on_speech: bool, ask: Callable[[str | None], None]) -> None:
        self._ear, self._write = ear, write
        self._on_speech = on_speech
        self._ask = ask
        self._writing: asyncio.Task[None] | None = None
        self._broken = False

    async def listen(self, window: AudioWindow) -> float | None:
        """The next chunk of sound; how likely somebody began to speak in it, where that is a trigger."""
        try:
            heard = await asyncio.to_thread(self._ear.hear, window)
        except EdgeAgentError as error:
            if not self._broken:
                log.warning("speech is not listened to any more: %s", error)
            self._broken = True
            return None
        if heard.woken is not None:
            log.warning("the wake word was heard (%.2f)", heard.woken)
            if self._write is None:
                self._ask(None)
        if heard.question is not None and self._write is not None:
            self._begin(heard.question, self._write)
        return heard.speech if self._on_speech else None

    def _begin(self, sound: AudioWindow, write: Write) -> None:
        if self._writing is not None and not self._writing.done():
            log.warning("a spoken question came while another is written down: it is let go")
            return
        self._writing = asyncio.create_task(self._written(sound, write))

    async def _written(self, sound: AudioWindow, write: Write) -> None:
        try:
            words = await asyncio.to_thread(write, sound)
        except EdgeAgentError as error:
            log.warning("a spoken question was not understood: %s", error)
            return
        if not words:
            log.warning("nothing was said after the wake word")
            return
        self._ask(words)

    async def close(self) -> None:
        """Let go of a question that is being written down."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
