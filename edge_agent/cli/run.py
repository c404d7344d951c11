"""`edge-agent run`: watch a clip or camera and answer on change, on sound, at an interval, or when asked on stdin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_agent.agent import check_question
from edge_agent.cli.options import deciding_options, json_option, settle
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.cli.watching import make_sources, watch
from edge_agent.config import Loaded
from edge_agent.errors import UsageError


@click.command()
@click.option("--clip", type=FILE, help="Watch a video file with its sound, then end.")
@click.option("--camera", metavar="URI", help="Watch a camera: index, device path or URL.")
@click.option("--mic", is_flag=True, help="Listen to the default microphone, too.")
@click.option("--question", help="What the triggers ask.")
@click.option("--fast", is_flag=True, help="With a clip: as fast as it decodes, not in real time.")
@click.option("--api", is_flag=True, help="Serve the local API, too (docs/api.md).")
@deciding_options
@json_option
def command(
    clip: Path | None,
    camera: str | None,
    mic: bool,
    question: str | None,
    fast: bool,
    api: bool,
    as_json: bool,
    **deciding: Any,
) -> None:
    """Watch, and answer on change, at the onset of a sound, at an interval, or when asked.

    A line on stdin is a question about this moment; `/policy NAME` has another policy decide from now on. Ends with
    the clip, or at Ctrl-C.
    """
    if clip is not None and camera is not None:
        raise UsageError("--clip and --camera together", "watch one of them")
    if clip is not None and mic:
        raise UsageError("--clip and --mic together", "a clip is heard by its own sound: leave out --mic")
    flags = (
        ("run.clip", None if clip is None else str(clip), "--clip"),
        ("run.camera", camera, "--camera"),
        ("run.microphone", "default" if mic else None, "--mic"),
        ("trigger.question", question, "--question"),
        ("api.enabled", api or None, "--api"),
    )

    def read() -> Loaded:
        loaded = settle(**deciding).override_all(flags)
        if clip is not None or camera is not None:  # the flag's picture source stands instead of the file's
            other = "run.clip" if clip is None else "run.camera"
            loaded = loaded.override(other, "", "--camera" if clip is None else "--clip")
        return loaded

    loaded = read()
    check_question(loaded.config.trigger.question)
    sources = make_sources(loaded.config.run, fast)
    if not sources:
        raise UsageError(
            "there is nothing to watch", "add --clip F or --camera URI, or set run.camera in the configuration"
        )
    run(watch(loaded, sources, fast, as_json, read))
