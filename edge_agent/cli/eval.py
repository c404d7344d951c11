"""`edge-agent eval`: accuracy, latency, bytes and cost of a route or policy on a data set of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_agent.cli.answering import Asked, answer_all, drawn_options, tell
from edge_agent.cli.lazy import NearestGroup
from edge_agent.cli.m4a1 import m4a1
from edge_agent.cli.mmbench import mmbench
from edge_agent.cli.options import deciding_options, json_option, settle
from edge_agent.cli.paths import FILE
from edge_agent.cli.running import run
from edge_agent.cli.vqa import Row, Scored, blinded, is_right, read_rows, report, sample
from edge_agent.cli.vqav2 import vqav2
from edge_agent.types import Answer


@click.group(cls=NearestGroup)
def command() -> None:
    """Measure on a data set."""


command.add_command(m4a1)
command.add_command(mmbench)
command.add_command(vqav2)


@command.command()
@click.option("--data", required=True, type=FILE, help='Lines of {"image","question","answer"}.')
@drawn_options
@click.option("--blind", is_flag=True, help="Give each question another photo of the set.")
@deciding_options
@json_option
def vqa(data: Path, limit: int | None, seed: int, blind: bool, as_json: bool, **deciding: Any) -> None:
    """Visual question answering: normalised exact match, overall and by kind."""
    loaded = settle(**deciding)
    rows = sample(read_rows(data), limit, seed)
    if blind:
        rows = blinded(rows, seed)
    asked = [Asked(row.image, row.image.name, row.question) for row in rows]
    answers = run(answer_all(loaded, asked, as_json))
    scored = [_scored(row, answer) for row, answer in zip(rows, answers, strict=True)]
    result = {
        "data": data.name,
        "route": deciding["route"],
        "policy": loaded.config.policy.name,
        "blind": blind,
        "seed": seed,
    }
    result |= report(scored, seed)
    tell(result, as_json)


def _scored(row: Row, answer: Answer | str) -> Scored:
    if isinstance(answer, str):
        return Scored(row, 0.0, None, answer)
    return Scored(row, float(is_right(answer.text, row.answer)), answer)
