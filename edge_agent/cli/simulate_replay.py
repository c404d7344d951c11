"""`edge-agent simulate --log` and `--replay`: the decision log of a simulated run, and any log decided again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.output import emit
from edge_agent.config import PolicySettings, nearest
from edge_agent.errors import InputError
from edge_agent.policy import POLICY_NAMES
from edge_agent.policy.base import OffloadPolicy
from edge_agent.sim.device import Journal
from edge_agent.sim.replay import Replay, replay
from edge_agent.sim.scenario import Scenario
from edge_agent.sim.simulator import make_simulated, policy_settings, run_once
from edge_agent.sim.world import Questions, draw
from edge_agent.store.decisions import DecisionLog
from edge_agent.store.drafts import log_files, read_lines

EXIT_DIFFERENT = 5
MAX_LOG_BYTES = 4 << 30


def write_log(
    path: Path, scenario: Scenario, questions: Questions, policy: str, settings: PolicySettings, seed: int
) -> int:
    """Run one policy in one seed's world and keep every decision, as the agent does; how many. Raises InputError."""
    if path.exists():
        raise InputError(f"{path} is there already", "name a new file with --log")
    log, made = DecisionLog(path, MAX_LOG_BYTES), policy_settings(settings, policy)
    lines = 0

    def journal(device: int) -> Journal:
        run = {"policy": policy, "seed": 1000 * seed + device, "settings": made}

        def write(record: dict[str, Any]) -> None:
            nonlocal lines
            lines += 1
            log.append({**record, "simulated": run})

        return write

    try:
        run_once(
            scenario,
            questions,
            draw(scenario, questions, seed),
            lambda device: make_simulated(settings, policy, 1000 * seed + device),
            settings,
            journal,
        )
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}", "name another file with --log"
        ) from error
    return lines


def replay_log(path: Path, settings: PolicySettings, as_json: bool) -> None:
    """Decide every line again and say what differs; exit code 5 if something does. Raises InputError."""
    found = log_files(path)
    if not found:
        raise InputError(f"there is no decision log {path}", "name one with --replay")

    def make(name: str, simulated: Mapping[str, Any]) -> OffloadPolicy:
        if name not in POLICY_NAMES:
            raise InputError(f"{path}: no policy {name[:40]!r} can be replayed", nearest(name, POLICY_NAMES))
        if not simulated:
            return make_simulated(dataclasses.replace(settings, name=name), name, 0)
        known = {f.name for f in dataclasses.fields(PolicySettings)}
        said = {key: value for key, value in dict(simulated["settings"]).items() if key in known}
        return make_simulated(PolicySettings(**said), name, int(simulated["seed"]))

    result = replay(_records(found), make)
    if not (result.same or result.different or result.skipped):
        raise InputError(f"{path} holds no decision", "name a log that an agent or `simulate --log` has written")
    _say(path, result, as_json)
    if result.different:
        raise click.exceptions.Exit(EXIT_DIFFERENT)


def _records(paths: list[Path]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for path in paths:
        for line in read_lines(path):
            yield str(path), line.number, line.record


def _say(path: Path, result: Replay, as_json: bool) -> None:
    if as_json:
        first = [{"line": number, "recorded": then, "now": now} for number, then, now in result.first]
        emit(
            {
                "log": str(path),
                "same": result.same,
                "different": result.different,
                "skipped": dict(result.skipped),
                "first": first,
            }
        )
        return
    click.echo(f"{path}: {result.same} decisions replay, {result.different} do not")
    for number, then, now in result.first:
        click.echo(f"  line {number}: {then.get('route')} was decided, {now['route']} now: {now['reason']}")
    for why, count in result.skipped.items():
        click.echo(f"  {count} lines cannot be replayed ({why})")
    if result.different:
        click.echo("  a policy that had learned before the log began, or other settings, decide otherwise")
