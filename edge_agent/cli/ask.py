"""`edge-agent ask`: one question about a photo, a clip, a camera or a microphone, answered within its limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from edge_agent.agent import check_question
from edge_agent.cli.inputs import Inputs, gather
from edge_agent.cli.options import deciding_options, json_option, limits_of, once_option, settle
from edge_agent.cli.output import answer_record, answer_text, emit, provisional, waiting
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.config import Loaded


@click.command()
@click.argument("question")
@once_option("--image", type=FILE, help="A photo: JPEG, PNG, WebP, BMP.")
@once_option("--video", type=FILE, help="A clip; its sound counts too.")
@once_option("--camera", metavar="URI", help="A camera: index, device path or URL.")
@once_option("--audio", type=FILE, help="A sound: WAV, OGG, FLAC, MP3.")
@click.option("--mic", is_flag=True, help="Two seconds of the default microphone.")
@deciding_options
@json_option
def command(
    question: str,
    image: Path | None,
    video: Path | None,
    camera: str | None,
    audio: Path | None,
    mic: bool,
    as_json: bool,
    **deciding: Any,
) -> None:
    """Answer QUESTION about what is seen and heard.

    \b
    edge-agent ask --image kitchen.jpg "what is on the table?"
    edge-agent ask --camera 0 --private "is there a person in the picture?"
    """
    check_question(question)
    loaded = settle(**deciding)
    run(_ask(loaded, question, Inputs(image, video, camera, audio, mic), as_json))


async def _ask(loaded: Loaded, question: str, inputs: Inputs, as_json: bool) -> None:
    """Answer and say it at once: what is still being cleaned up must not hold the answer back."""
    from edge_agent.cli.build import extractor_factory, masks_in_force, open_agent, open_model
    from edge_agent.clock import SystemClock

    clock = SystemClock()
    started_s = clock.monotonic_s()
    with waiting("looking", as_json):
        private = loaded.config.limits.private
        masks = masks_in_force(loaded.config)() if inputs.camera is not None else ()
        observation = await gather(inputs, question, private, extractor_factory(loaded.config), masks)
        model = await asyncio.to_thread(open_model, loaded.config)
    async with open_agent(loaded.config, model, clock) as agent:
        load_ms = (clock.monotonic_s() - started_s) * 1000  # of the input and the model, before the question began
        with waiting("answering", as_json) as say:
            answer = await agent.ask(observation, limits_of(loaded), on_provisional=lambda text: say(provisional(text)))
        if as_json:
            emit({**answer_record(answer), "load_ms": round(load_ms, 3)})
        else:
            click.echo(answer_text(answer))
