"""`edge-agent config`: every setting explained, or only what differs from the defaults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from edge_agent.cli.options import config_option, json_option
from edge_agent.cli.output import emit
from edge_agent.config import Setting, load
from edge_agent.sources.base import redacted


@click.group()
def command() -> None:
    """Explain the settings, or show what differs from the defaults."""


@command.command()
@config_option
@json_option
def explain(config_path: Path | None, as_json: bool) -> None:
    """Every setting: value, where it came from, unit, range and what it means."""
    _show(load(config_path).settings(), as_json)


@command.command()
@config_option
@json_option
def diff(config_path: Path | None, as_json: bool) -> None:
    """Only the settings whose value is not the default."""
    changed = [s for s in load(config_path).settings() if s.value != s.default]
    if not changed and not as_json:
        click.echo("no setting differs from its default")
    _show(changed, as_json)


def _show(settings: list[Setting], as_json: bool) -> None:
    for setting in settings:
        leaf = replace(setting, value=redacted(setting.value)) if isinstance(setting.value, str) else setting
        if as_json:
            emit(leaf)
            continue
        value = f'"{leaf.value}"' if isinstance(leaf.value, str) else str(leaf.value).lower()
        reach = " | ".join(leaf.choices) or (f"{leaf.low:g}..{leaf.high:g}" if leaf.low is not None else "")
        facts = ", ".join(part for part in (leaf.unit, reach, f"from {leaf.origin}") if part)
        click.echo(f"{leaf.key} = {value}\n    {leaf.sentence} ({facts})")
