"""`edge-agent serve`: the local API alone; with a camera or microphone it can be asked about them, and asks nothing."""

from __future__ import annotations

from typing import Any

import click

from edge_agent.cli.options import deciding_options, json_option, settle
from edge_agent.cli.running import run
from edge_agent.cli.watching import make_sources, watch
from edge_agent.config import Loaded
from edge_agent.errors import UsageError


@click.command()
@click.option("--host", help="Address to listen on; beyond this machine only with a token and TLS.")
@click.option("--port", type=int, help="Port to listen on; 0: any free one.")
@click.option("--camera", metavar="URI", help="A camera that questions may be about: index, device path or URL.")
@click.option("--mic", is_flag=True, help="Listen to the default microphone, too.")
@deciding_options
@json_option
def command(host: str | None, port: int | None, camera: str | None, mic: bool, as_json: bool, **deciding: Any) -> None:
    """Serve the API until Ctrl-C: any OpenAI client can ask, about what it sends or about what the camera sees.

    \b
    edge-agent serve --camera 0
    curl http://127.0.0.1:8686/readyz
    """
    flags = (
        ("api.enabled", True, "serve"),
        ("api.host", host, "--host"),
        ("api.port", port, "--port"),
        ("run.camera", camera, "--camera"),
        ("run.microphone", "default" if mic else None, "--mic"),
        ("run.clip", "", "serve"),
        ("trigger.on_change", False, "serve"),
        ("trigger.on_sound", False, "serve"),
        ("voice.on_speech", False, "serve"),
        ("voice.wake_word", "", "serve"),
        ("trigger.interval_s", 0.0, "serve"),
    )

    def read() -> Loaded:
        return settle(**deciding).override_all(flags)

    loaded = read()
    if loaded.config.run.microphone and not loaded.config.run.camera:
        raise UsageError("a microphone without a camera", "add --camera URI; sounds may be sent with the question")
    run(watch(loaded, make_sources(loaded.config.run, fast=False), fast=False, as_json=as_json, read_again=read))
