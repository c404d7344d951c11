"""`edge-agent run`: watch a clip or camera and answer on change, on sound, at an interval, or when asked on stdin."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

from edge_agent.agent import check_question
from edge_agent.cli.options import deciding_options, json_option, limits_of, settle
from edge_agent.cli.output import answer_record, emit, say_answer
from edge_agent.config import Loaded
from edge_agent.errors import EdgeAgentError, UsageError
from edge_agent.types import AudioWindow, Frame
from edge_agent.watch import Asked, Watcher

log = logging.getLogger(__name__)


@click.command()
@click.option("--clip", type=click.Path(path_type=Path), help="Watch a video file with its sound, then end.")
@click.option("--camera", metavar="URI", help="Watch a camera: index, device path or URL.")
@click.option("--mic", is_flag=True, help="Listen to the default microphone, too.")
@click.option("--question", help="What the triggers ask.")
@click.option("--fast", is_flag=True, help="With a clip: as fast as it decodes, not in real time.")
@deciding_options
@json_option
def command(
    clip: Path | None, camera: str | None, mic: bool, question: str | None, fast: bool, as_json: bool, **deciding: Any
) -> None:
    """Watch, and answer on change, at the onset of a sound, at an interval, or when asked.

    A line on stdin is a question about this moment. Ends with the clip, or at Ctrl-C.
    """
    loaded = settle(**deciding)
    flags = (("run.clip", None if clip is None else str(clip), "--clip"), ("run.camera", camera, "--camera"))
    for key, value, flag in (
        *flags,
        ("run.microphone", "default" if mic else None, "--mic"),
        ("trigger.question", question, "--question"),
    ):
        if value is not None:
            loaded = loaded.override(key, value, flag)
    check_question(loaded.config.trigger.question)
    watched = loaded.config.run
    if clip is not None:  # a flag names another picture source than the file does
        loaded = loaded.override("run.camera", "", "--clip")
    elif camera is not None:
        loaded = loaded.override("run.clip", "", "--camera")
    elif watched.clip and watched.camera:
        raise UsageError("run.clip and run.camera are both set", "keep one of them")
    if not loaded.config.run.clip and not loaded.config.run.camera:
        raise UsageError(
            "there is nothing to watch", "add --clip F or --camera URI, or set run.camera in the configuration"
        )
    asyncio.run(_run(loaded, fast, as_json))
