"""`edge-agent config`: every setting explained, or only what differs from the defaults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.lazy import NearestGroup
from edge_agent.cli.options import config_option, json_option
from edge_agent.cli.output import emit
from edge_agent.cli.secrets import HIDDEN, Secret, secrets
from edge_agent.config import Setting, load, nearest
from edge_agent.errors import UsageError
from edge_agent.sources.base import redacted


@click.group(cls=NearestGroup)
def command() -> None:
    """Explain the settings, or show what differs from the defaults."""


@command.command()
@click.argument("keys", nargs=-1)
@config_option
@json_option
def explain(keys: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
    """Every setting, or those of KEYS (`limits`, `cloud.url`): value, where it came from, unit, range and meaning."""
    loaded = load(config_path)
    rows = [*loaded.settings(), *(_hidden(one) for one in secrets(loaded.config))]
    for key in keys:
        if not any(_under(row, key) for row in rows):
            known = sorted({row.key for row in rows} | {row.key.split(".")[0] for row in rows})
            near = nearest(key, known)
            raise UsageError(f"unknown setting {key[:80]!r}", near if "?" in near else "edge-agent config explain")
    _show([row for row in rows if not keys or any(_under(row, key) for key in keys)], as_json)


@command.command()
@config_option
@json_option
def diff(config_path: Path | None, as_json: bool) -> None:
    """Only the settings whose value is not the default, and the secrets that are set."""
    loaded = load(config_path)
    changed = [s for s in loaded.settings() if s.value != s.default]
    changed += [row for one in secrets(loaded.config) if (row := _hidden(one)).value]
    if not changed and not as_json:
        click.echo("no setting differs from its default")
    _show(changed, as_json, default=True)


def _under(row: Setting, key: str) -> bool:
    return row.key == key or row.key.startswith(key + ".")


def _hidden(secret: Secret) -> Setting:
    """A secret as a row: whether it is set and where it comes from, never what it is."""
    origin = secret.origin()
    sentence = f"a secret: {secret.variable}, else {secret.setting}, else systemd's credential {secret.credential}"
    value = HIDDEN if origin else ""
    return Setting(secret.key, value, "", "", None, None, (), sentence, origin=origin or "default")


def _show(settings: list[Setting], as_json: bool, default: bool = False) -> None:
    for setting in settings:
        leaf = replace(setting, value=redacted(setting.value, HIDDEN)) if isinstance(setting.value, str) else setting
        if as_json:
            emit(leaf)
            continue
        reach = " | ".join(leaf.choices) or (f"{leaf.low:g}..{leaf.high:g}" if leaf.low is not None else "")
        taken = "SIGHUP applies it" if leaf.live else "needs a restart"
        was = f"default {_words(leaf.default)}" if default else ""
        facts = ", ".join(part for part in (leaf.unit, reach, was, f"from {leaf.origin}", taken) if part)
        click.echo(f"{leaf.key} = {_words(leaf.value)}\n    {leaf.sentence} ({facts})")


def _words(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
