"""The words of a spoken question: Whisper, run by faster-whisper, an extra: `pip install 'edge-agent[stt]'`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.types import AudioWindow
from edge_agent.voice.activity import RATE_HZ

INSTALL = "pip install 'edge-agent[stt]'"
NO_SPEECH = 0.6  # from this probability on, the network's words are made up


class Transcriber:
    """Writes down what is said, on this device; nothing is fetched. `folder`: a model as faster-whisper reads it.

    Raises ModelError where faster-whisper is not installed or the folder is none it can read.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ModelError(f"spoken questions need faster-whisper ({error})", INSTALL) from error
        try:
            self._model: Any = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"{folder} cannot be read by faster-whisper ({str(error)[:200]})", "pull it again"
            ) from error

    def __call__(self, sound: AudioWindow) -> str:
        """The words of some seconds of mono sound at 16 kHz, in one line; "" if nothing is said. Raises ModelError."""
        if sound.rate_hz != RATE_HZ:
            raise ModelError(f"speech is read at {RATE_HZ} Hz, not at {sound.rate_hz}", "resample it")
        try:
            segments, _ = self._model.transcribe(
                sound.samples, language="en", beam_size=1, condition_on_previous_text=False, without_timestamps=True
            )
            words = [one.text.strip() for one in segments if one.no_speech_prob < NO_SPEECH]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"writing down speech failed ({str(error)[:200]})", "see `edge-agent doctor`") from error
        return " ".join(" ".join(words).split())
