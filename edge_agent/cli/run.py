"""`edge-agent run`: watch a clip or camera and answer on change, on sound, at an interval, or when asked on stdin."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from edge_agent.agent import check_question
from edge_agent.cli.build import extractor_factory, open_agent, open_model, remembered_policy, user_path
from edge_agent.cli.options import FILE, deciding_options, json_option, limits_of, settle
from edge_agent.cli.output import answer_record, emit, say_answer, waiting
from edge_agent.cli.remembered import RememberedPolicy
from edge_agent.cli.running import run
from edge_agent.clock import SystemClock
from edge_agent.config import Loaded, RunSettings
from edge_agent.errors import EdgeAgentError, UsageError
from edge_agent.service.systemd import Notifier, Watchdog
from edge_agent.sources.base import Source
from edge_agent.sources.camera import CameraSource
from edge_agent.sources.clip import ClipSource
from edge_agent.sources.merge import merge
from edge_agent.sources.microphone import MicrophoneSource
from edge_agent.sources.supervisor import Supervisor
from edge_agent.watch import Asked, Watcher

MAX_LINE_BYTES = 8192
SWITCH = "/policy "
log = logging.getLogger(__name__)


@click.command()
@click.option("--clip", type=FILE, help="Watch a video file with its sound, then end.")
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

    A line on stdin is a question about this moment; `/policy NAME` has another policy decide from now on. Ends with
    the clip, or at Ctrl-C.
    """
    loaded = settle(**deciding)
    if clip is not None and camera is not None:
        raise UsageError("--clip and --camera together", "watch one of them")
    flags = (
        ("run.clip", None if clip is None else str(clip), "--clip"),
        ("run.camera", camera, "--camera"),
        ("run.microphone", "default" if mic else None, "--mic"),
        ("trigger.question", question, "--question"),
    )
    for key, value, flag in flags:
        if value is not None:
            loaded = loaded.override(key, value, flag)
    if clip is not None or camera is not None:  # the flag's picture source stands instead of the file's
        other = "run.clip" if clip is None else "run.camera"
        loaded = loaded.override(other, "", "--camera" if clip is None else "--clip")
    check_question(loaded.config.trigger.question)
    run(_run(loaded, _make_source(loaded.config.run, fast), fast, as_json))


def _make_source(settings: RunSettings, fast: bool) -> list[Source]:
    """The sources that the settings name; devices are supervised. Raises UsageError."""
    clock, rng = SystemClock(), random.Random()
    if settings.clip and settings.camera:
        raise UsageError("a clip and a camera are both named", "watch one of them: --clip F or --camera URI")
    if settings.clip:
        return [ClipSource(user_path(settings.clip), realtime=not fast)]
    if not settings.camera:
        raise UsageError(
            "there is nothing to watch", "add --clip F or --camera URI, or set run.camera in the configuration"
        )
    sources: list[Source] = [Supervisor(lambda: CameraSource(settings.camera, clock=clock), clock, rng)]
    if settings.microphone:
        sources.append(Supervisor(lambda: MicrophoneSource(settings.microphone, clock=clock), clock, rng))
    return sources


async def _run(loaded: Loaded, sources: list[Source], fast: bool, as_json: bool) -> None:
    config = loaded.config
    clock = SystemClock()
    notifier = Notifier()
    with waiting("opening", as_json):
        model = await asyncio.to_thread(open_model, config)
    policy = remembered_policy(config)
    async with open_agent(config, model, clock, remembered=policy) as agent, AsyncExitStack() as stack:
        for source in sources:
            await source.open()
            stack.push_async_callback(source.close)
        watchdog = Watchdog(notifier, clock)
        watcher = Watcher(
            agent,
            extractor_factory(config)(),
            config.trigger,
            limits_of(loaded),
            lambda asked: _say(asked, clock.wall_s(), as_json),
            private=config.limits.private,
            source=", ".join(source.describe() for source in sources),
            progress=watchdog.progress,
            patient=fast,
        )
        asking = asyncio.get_running_loop()
        _read_questions(lambda line: asking.call_soon_threadsafe(_ask, watcher, policy, line))
        watching = asyncio.create_task(watcher.run(merge(sources)))
        told_to_stop = asyncio.Event()

        def stop() -> None:
            told_to_stop.set()
            watching.cancel()

        asking.add_signal_handler(signal.SIGTERM, stop)
        notifier.notify("READY=1", f"STATUS=watching {watcher.source}")
        try:
            await watching
        except asyncio.CancelledError:
            if not told_to_stop.is_set():  # Ctrl-C
                raise
        finally:
            notifier.notify("STOPPING=1")


def _ask(watcher: Watcher, policy: RememberedPolicy, question: str) -> None:
    """A question, or `/policy NAME`."""
    try:
        if question.startswith(SWITCH):
            policy.switch(question.removeprefix(SWITCH).strip())
            log.warning("from now on %s decides", policy.name)
            return
        check_question(question)
    except EdgeAgentError as error:
        log.warning("%s", error)
        return
    if not watcher.ask(question):
        log.warning("too many questions wait: one is refused")


def _read_questions(put: Callable[[str], object]) -> None:
    """Lines of stdin, each a question, from a daemon thread: a read of stdin that never returns holds nobody up."""

    def read() -> None:
        rest = b""
        while block := _read_block():
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-MAX_LINE_BYTES:]
            for line in lines:
                if line.strip():
                    put(line.decode(errors="replace").strip())

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _read_block() -> bytes:
    """Some bytes of stdin; none at its end or where there is none. Not through sys.stdin, whose lock a reader keeps."""
    try:
        return os.read(0, 4096)
    except OSError:
        return b""


def _say(asked: Asked, wall_s: float, as_json: bool) -> None:
    firing = asked.firing
    if as_json:
        head = {"time_s": wall_s, "at_s": firing.at_s, "trigger": firing.trigger, "trigger_value": firing.value}
        tail = {"error": asked.error} if asked.answer is None else answer_record(asked.answer)
        emit({**head, "question": asked.question, **tail})
        return
    click.echo(f"[{firing.at_s:8.1f} s] {firing.trigger}: {asked.question}")
    if asked.answer is None:
        click.echo(f"  no answer: {asked.error}")
    else:
        say_answer(asked.answer)
