"""Checks of what only some configurations ask for: faces blurred, speech as a trigger, wake words, spoken questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_agent.cli.checks.base import Check, Probed, Status
from edge_agent.cli.checks.runtime import CANNOT_ANSWER
from edge_agent.cli.checks.setup import BAD_CONFIGURATION
from edge_agent.config.voice import VoiceSettings
from edge_agent.errors import EdgeAgentError, UsageError

MODULE = "edge_agent.cli.checks.senses"
MENDED_FIRST = "mend the libraries above first"


def wanted_of(voice: VoiceSettings) -> str:
    """What `[voice]` asks for, in words; "" where it asks for nothing."""
    wake = f"wake word {voice.wake_word}" if voice.wake_word else ""
    spoken = "spoken questions" if wake and voice.after_wake == "question" else ""
    return ", ".join(filter(None, ("speech as a trigger" if voice.on_speech else "", wake, spoken)))


def check_faces(probed: Probed) -> Check:
    """`run.blur_faces` is on: the network is there, whole, and runs. If not, the agent does not start."""
    return _of("faces", probed, "found and blurred before model and upload; not all are: docs/privacy.md")


def check_voice(probed: Probed, wanted: str) -> Check:
    """`voice.*` asks for `wanted`, in words: its networks and programs are there. If not, the agent does not start."""
    return _of("voice", probed, f"{wanted}: loaded")


def _of(name: str, probed: Probed, well: str) -> Check:
    if probed.error:
        return Check(name, Status.FAIL, probed.error, MENDED_FIRST, CANNOT_ANSWER)
    problems = probed.values["problems"]
    if not problems:
        return Check(name, Status.OK, well)
    code = BAD_CONFIGURATION if all(one["usage"] for one in problems) else CANNOT_ANSWER
    detail = "; ".join(one["words"] for one in problems)
    return Check(name, Status.FAIL, detail[:300], "; ".join(dict.fromkeys(one["hint"] for one in problems)), code)


def faces() -> dict[str, Any]:
    """In a child process: open what blurs faces, and let it look at a grey picture."""
    import numpy as np

    from edge_agent.cli.build import open_veil
    from edge_agent.config import Config, Loaded
    from edge_agent.types import Frame, Observation

    try:
        veil = open_veil(Loaded(Config(), {}).override("run.blur_faces", True, "doctor").config)
        assert veil is not None  # it was asked for
        veil(Observation("who is there?", (Frame(np.full((64, 64, 3), 127, np.uint8), 0.0, 0),)))
    except EdgeAgentError as error:
        return {"problems": [_problem(error)]}
    return {"problems": []}


def voice(settings: dict[str, Any], microphone: str, clip: str, threads: int) -> dict[str, Any]:
    """In a child process: open each part that `[voice]` with these settings asks for, and say all that is amiss."""
    from edge_agent.cli import hearing
    from edge_agent.config import Config, Loaded

    loaded = Loaded(Config(), {})
    given = {f"voice.{name}": value for name, value in settings.items()}
    for name, value in {**given, "run.microphone": microphone, "run.clip": clip, "model.threads": threads}.items():
        loaded = loaded.override(name, value, "doctor")
    tried = [_tried(part) for part in hearing.parts_of(loaded.config)]
    return {"problems": [one for one in tried if one is not None]}


def _tried(part: Callable[[], object]) -> dict[str, Any] | None:
    try:
        part()
    except EdgeAgentError as error:
        return _problem(error)
    return None


def _problem(error: EdgeAgentError) -> dict[str, Any]:
    return {"words": error.message, "hint": error.hint, "usage": isinstance(error, UsageError)}
