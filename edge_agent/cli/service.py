"""`edge-agent service`: the systemd unit: shown, installed, looked at, taken away."""

from __future__ import annotations

import dataclasses
import os
import pwd
import sys
from pathlib import Path

import click

from edge_agent.cli.lazy import NearestGroup
from edge_agent.cli.options import json_option
from edge_agent.cli.output import emit
from edge_agent.cli.paths import FILE
from edge_agent.errors import UsageError
from edge_agent.service import unit
from edge_agent.service.state import read_state, show_journal

NOT_RUNNING = 4
SETUP = "/usr/bin/python3 -m venv /opt/edge-agent && /opt/edge-agent/bin/pip install edge-agent"

dry_run_option = click.option("--dry-run", is_flag=True, help="Change nothing; show what would be done.")


@click.group(cls=NearestGroup)
def command() -> None:
    """Install as a systemd service that is restarted when it hangs, and started at boot."""


@command.command()
@dry_run_option
@click.option(
    "--config",
    "config_path",
    type=FILE,
    default=unit.CONFIG_PATH,
    show_default=True,
    help="Configuration that the service reads.",
)
@click.option("--user", metavar="NAME", help="Run as this user; default: one that systemd makes for the service.")
@json_option
def install(dry_run: bool, config_path: Path, user: str | None, as_json: bool) -> None:
    """Write the unit and say what to type next. With --dry-run, print it."""
    start = unit.executable()
    text = unit.render(start, config_path, user)
    problem = _reach_problem(start, config_path, user)
    if dry_run:
        if as_json:
            emit({"path": unit.UNIT_PATH, "unit": text, "changed": False, "problem": problem, "next": []})
            return
        click.echo(text, nl=False)
        if problem:
            click.echo(f"edge-agent: {problem}", err=True)
        return
    _need_root("install", *(("--user", user) if user else ()), *_config_words(config_path))
    if problem:
        raise UsageError(problem)
    changed = unit.install(text, unit.UNIT_PATH)
    following = ["systemctl daemon-reload", "systemctl enable --now edge-agent", "journalctl -u edge-agent -f"]
    if not config_path.is_file():
        following.insert(0, f'${{EDITOR:-nano}} {config_path}   # at least: [run] camera = "0"')
    _tell(changed, "written" if changed else "is as it should be", following, as_json)


@command.command()
@dry_run_option
@json_option
def uninstall(dry_run: bool, as_json: bool) -> None:
    """Take the unit away and say what to type next."""
    following = ["systemctl daemon-reload", "systemctl stop edge-agent"]
    if dry_run:
        _tell(False, "would be removed" if unit.UNIT_PATH.exists() else "is not installed", following, as_json)
        return
    _need_root("uninstall")
    changed = unit.uninstall(unit.UNIT_PATH)
    _tell(changed, "removed" if changed else "is not installed", following if changed else [], as_json)


@command.command()
@json_option
def status(as_json: bool) -> int:
    """Whether the service runs, in its own words. Exit code 4 where it does not."""
    found = read_state()
    if as_json:
        emit({**dataclasses.asdict(found), "runs": found.runs})
    else:
        facts = [f"{found.state} ({found.detail})" if found.detail else found.state]
        facts += [found.words] if found.words else []
        facts += [f"process {found.pid}"] if found.pid else []
        facts += [f"{found.memory_mib:g} MiB"] if found.memory_mib is not None and found.runs else []
        facts += [f"restarted {found.restarts} times"] if found.restarts else []
        click.echo(f"edge-agent: {', '.join(facts)}")
        if not found.runs:
            click.echo(
                "  edge-agent service install" if found.state == "not installed" else "  edge-agent service logs"
            )
    return 0 if found.runs else NOT_RUNNING


@command.command()
@click.option(
    "--lines", type=click.IntRange(1, 100_000), default=100, show_default=True, help="So many, the last ones."
)
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written, until Ctrl-C.")
@json_option
def logs(lines: int, follow: bool, as_json: bool) -> None:
    """What the service wrote into systemd's journal."""
    show_journal(lines, follow, as_json)


def _config_words(config: Path) -> tuple[str, ...]:
    return () if config == unit.CONFIG_PATH else ("--config", str(config))


def _need_root(*words: str) -> None:
    if os.geteuid() != 0:
        raise UsageError(f"{unit.UNIT_PATH} can only be changed by root", unit.self_command("service", *words))


def _reach_problem(start: list[str], config: Path, user: str | None) -> str:
    """Why the service's user could not start the program or read its configuration; empty if it could."""
    uid, gids = None, []
    if user is not None:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            return f"there is no user {user!r}: sudo useradd --system {user}, or leave --user out"
        uid, gids = entry.pw_uid, os.getgrouplist(user, entry.pw_gid)
    for path in (Path(start[0]), Path(start[0]).resolve(), Path(sys.executable).resolve(), Path(__file__).resolve()):
        folder = unit.out_of_reach(path, uid, gids)
        if folder is not None:
            return f"the service could not start {path}, for {folder} is closed to it: install elsewhere: {SETUP}"
    folder = unit.out_of_reach(config, uid, gids) if _is_there(config.parent) else None
    return f"the service could not read {config}, for {folder} is closed to it: move it" if folder else ""


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except PermissionError:
        return True


def _tell(changed: bool, words: str, following: list[str], as_json: bool) -> None:
    if as_json:
        emit({"path": unit.UNIT_PATH, "changed": changed, "state": words, "next": following})
        return
    click.echo(f"{unit.UNIT_PATH}: {words}")
    for line in following:
        click.echo(f"  {line}")
