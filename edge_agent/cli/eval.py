"""`edge-agent eval`: accuracy, latency, bytes and cost of a route or policy on a data set of questions."""

from __future__ import annotations

import asyncio
import io
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.m4a1 import m4a1
from edge_agent.cli.options import FILE, deciding_options, json_option, limits_of, settle
from edge_agent.cli.output import emit
from edge_agent.cli.running import run
from edge_agent.cli.vqa import Row, Scored, blinded, is_right, read_rows, report, sample
from edge_agent.config import Loaded
from edge_agent.errors import EdgeAgentError
from edge_agent.sources.photo import load_photo
from edge_agent.types import Observation

PHOTOS_KEPT = 8  # the rows of a photo stand together


@click.group()
def command() -> None:
    """Measure on a data set."""


command.add_command(m4a1)


@command.command()
@click.option("--data", required=True, type=FILE, help='Lines of {"image","question","answer"}.')
@click.option("--limit", type=click.IntRange(min=1), help="Only this many questions, drawn by the seed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--blind", is_flag=True, help="Give each question another photo of the set.")
@deciding_options
@json_option
def vqa(data: Path, limit: int | None, seed: int, blind: bool, as_json: bool, **deciding: Any) -> None:
    """Visual question answering: normalised exact match, overall and by kind."""
    loaded = settle(**deciding)
    rows = sample(read_rows(data), limit, seed)
    if blind:
        rows = blinded(rows, seed)
    scored = run(_answer_all(loaded, rows, as_json))
    result = {
        "data": data.name,
        "route": deciding["route"],
        "policy": loaded.config.policy.name,
        "blind": blind,
        "seed": seed,
    }
    result |= report(scored, seed)
    if as_json:
        emit(result)
        return
    low, high = result["accuracy_ci"]
    click.echo(f"{result['n']} questions: accuracy {result['accuracy']:.3f} (95 % {low:.3f}..{high:.3f})")
    for kind, part in result["kinds"].items():
        click.echo(f"  {kind:<10} {part['n']:>5}  {part['accuracy']:.3f}")
    latency = result["latency_ms"]
    click.echo(
        f"  latency p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms; cloud share {result['cloud_share']:.2f}"
    )
    click.echo(
        f"  {result['bytes_up_mean']:.0f} bytes up a question; {result['cost_usd']:.6f} USD; {result['errors']} errors"
    )


async def _answer_all(loaded: Loaded, rows: list[Row], quiet: bool) -> list[Scored]:
    from edge_agent.cli.build import open_agent, open_model

    photo = lru_cache(maxsize=PHOTOS_KEPT)(load_photo)
    model = await asyncio.to_thread(open_model, loaded.config)
    limits = limits_of(loaded)
    scored = []
    async with open_agent(loaded.config, model, journal=False) as agent:
        with click.progressbar(length=len(rows), label="asking", file=_bar(quiet)) as bar:
            for row in rows:
                try:
                    frame = await asyncio.to_thread(photo, row.image)
                    private = loaded.config.limits.private
                    observation = Observation(row.question, (frame,), private=private, source=row.image.name)
                    answer = await agent.ask(observation, limits)
                    scored.append(Scored(row, is_right(answer.text, row.answer), answer))
                except EdgeAgentError as error:
                    scored.append(Scored(row, False, None, str(error)))
                bar.update(1)
    return scored


def _bar(quiet: bool) -> Any:
    """Progress goes to stderr, and nowhere for programs."""
    return io.StringIO() if quiet else sys.stderr
