"""`edge-agent models`: which bundles are here, and whether every byte of them is as it was shipped."""

from __future__ import annotations

import click

from edge_agent.cli.options import json_option
from edge_agent.cli.output import emit
from edge_agent.errors import ModelError
from edge_agent.store.models import find_bundle, list_bundles, verify_bundle


@click.group()
def command() -> None:
    """List and verify model bundles."""


@command.command(name="list")
@json_option
def list_command(as_json: bool) -> None:
    """Every bundle that can be used by name, and where it lies."""
    for info in list_bundles():
        if as_json:
            emit(info)
        else:
            click.echo(f"{info.name:<12} {info.version:<8} {info.size_bytes / 1e6:6.1f} MB  {info.path}")


@command.command()
@click.argument("bundles", nargs=-1)
@json_option
def verify(bundles: tuple[str, ...], as_json: bool) -> None:
    """Compare size and sha256 of every file with the manifest. All known bundles, if none is named."""
    paths = [find_bundle(name) for name in bundles] or [info.path for info in list_bundles()]
    if not paths:
        raise ModelError("no model bundle was found", "reinstall edge-agent or set EDGE_AGENT_MODELS")
    damaged = []
    for path in paths:
        problems = verify_bundle(path)
        damaged += problems
        if as_json:
            emit({"bundle": path.name, "path": str(path), "ok": not problems, "problems": problems})
        else:
            click.echo(f"{path.name}: {'every file as shipped' if not problems else '; '.join(problems)}")
    if damaged:
        raise ModelError(f"{len(damaged)} problem(s) in model files", "reinstall the bundle from where it came")
