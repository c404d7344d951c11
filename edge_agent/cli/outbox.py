"""`edge-agent outbox`: the questions that wait for the cloud: list them, or ask them now."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from edge_agent.asked import Asked
from edge_agent.cli.build import open_agent, open_model
from edge_agent.cli.keeping import late_questions
from edge_agent.cli.lazy import NearestGroup
from edge_agent.cli.options import config_option, deciding_options, json_option, settle
from edge_agent.cli.output import asked_record, asked_text, emit, waiting
from edge_agent.cli.paths import state_dir
from edge_agent.cli.running import run
from edge_agent.clock import SystemClock
from edge_agent.config import Loaded, load
from edge_agent.errors import NoAnswerError, UsageError
from edge_agent.service.late import opened_outbox, outbox_path
from edge_agent.store.outbox import Outbox


@click.group(cls=NearestGroup)
def command() -> None:
    """Questions that would have gone to a cloud that was away (see `outbox.keep` in the configuration)."""


@command.command("list")
@config_option
@json_option
def show(config_path: Path | None, as_json: bool) -> None:
    """What waits, oldest first, and what has become of all that ever did."""
    config, clock = load(config_path).config, SystemClock()
    path = outbox_path(state_dir(config))
    try:
        if not path.is_file():
            _say_counts({"waiting": 0}, as_json)
            return
        outbox = Outbox(path, clock, int(config.outbox.max_mb * 1e6), config.outbox.max_age_h * 3600)
    except (OSError, sqlite3.Error) as error:
        raise _unreadable(path, error) from error
    with closing(outbox):
        for one in outbox.waiting():
            facts = {"number": one.number, "asked_s": one.asked_s, "waited_s": round(one.waited_s, 3)}
            if as_json:
                emit({**facts, "trigger": one.trigger, "question": one.question, "attempts": one.attempts})
            else:
                click.echo(f"{one.number:6}  {one.waited_s:8.0f} s  {one.trigger}: {one.question}")
        _say_counts(outbox.counts(), as_json)


@command.command()
@deciding_options
@json_option
def flush(as_json: bool, **deciding: Any) -> None:
    """Ask what waits now, in order, until nothing waits or the cloud is away again."""
    run(_flush(settle(**deciding), as_json))


async def _flush(loaded: Loaded, as_json: bool) -> None:
    clock, config = SystemClock(), loaded.config
    path = outbox_path(state_dir(config))
    try:
        there = path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not there:
        _say_counts({"waiting": 0}, as_json)
        return
    with opened_outbox(config.outbox, state_dir(config), clock) as outbox:
        if outbox is None:
            raise UsageError("the outbox is in use", "the running service asks what waits by itself")
        if not outbox.counts()["waiting"]:
            _say_counts(outbox.counts(), as_json)
            return
        with waiting("opening", as_json):
            model = await asyncio.to_thread(open_model, config)

        def say(asked: Asked) -> None:
            emit(asked_record(asked, clock.wall_s())) if as_json else click.echo(asked_text(asked))

        async with open_agent(config, model, clock) as agent:
            late = late_questions(outbox, loaded, agent, None, clock)
            while outbox.counts()["waiting"] and agent.cloud_reachable() is not False:
                await late.ask_next(say)
        counts = outbox.counts()
        _say_counts(counts, as_json)
        if counts["waiting"]:
            raise NoAnswerError(f"{counts['waiting']} questions still wait", "see `edge-agent doctor` about the cloud")


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} cannot be read: {error}", "run as the user of the service, where the disk has room")


def _say_counts(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        emit(counts)
    else:
        click.echo(", ".join(f"{name} {number}" for name, number in counts.items()))
