"""Rows of a benchmark: the fixed keys for programs, a table for people, and what could not be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from edge_agent.cli.bench.libraries import Library, absent, version
from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.measure import Contender, Timing, spread_pct
from edge_agent.cli.bench.options import Wanted
from edge_agent.cli.output import emit


def timing_row(
    bench: str,
    case: str,
    size: str,
    ours: Timing,
    peers: Sequence[tuple[Contender, Timing]],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """The fixed keys, then `extra`. `ratio` is the time of the peer / ours: above 1, ours is faster."""
    row = {
        "bench": bench,
        "case": case,
        "size": size,
        "ours_us": round(ours.median_us, 3),
        "spread_pct": round(ours.spread_pct, 1),
        "peers": {contender.name: peer_record(contender, timing) for contender, timing in peers},
        "machine": machine(),
        "rounds": len(ours.us),
    }
    if ours.more_threads:
        row["more_threads"] = True
    return row | dict(extra)


def peer_record(contender: Contender, timing: Timing) -> dict[str, Any]:
    """What a row says of one peer."""
    record: dict[str, Any] = {
        "version": version(contender.package),
        "us": round(timing.median_us, 3),
        "ratio": round(timing.ratio, 3) if timing.ratios else None,
        "ratio_spread_pct": round(spread_pct(timing.ratios), 1),
        "work": contender.work,
    }
    if timing.more_threads:
        record["more_threads"] = True
    return record


class Report:
    """Prints rows as they come: JSON, one object a line, or a table that names the peers that win."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._told: set[str] = set()
        self._headed = False

    def row(self, row: Mapping[str, Any]) -> None:
        """One measured row."""
        if self._as_json:
            emit(dict(row))
            return
        if not self._headed:
            self._headed = True
            click.echo(machine_line())
            click.echo("times in us; x = time of the peer / ours; a peer that wins is marked <; (less) does less\n")
        where = " ".join(str(row[key]) for key in ("input", "pixels", "variant") if key in row)
        click.echo(f"{row['case']:<15} {row['size']:<11} {where}: {row['ours_us']:.1f} us +-{row['spread_pct']:.0f} %")
        for name, peer in row["peers"].items():
            click.echo(f"    {peer_line(name, peer)}")

    def missing(self, libraries: Iterable[Library]) -> None:
        """Name, once, who is not there to be compared with, and what to type."""
        for library in libraries:
            if library.name not in self._told:
                self._told.add(library.name)
                click.echo(f"not compared with {library.name}, which is not installed: {library.install}", err=True)


def report_runs(
    wanted: Wanted, libraries: Mapping[str, Library], rows: Callable[[], Iterable[Mapping[str, Any]]]
) -> None:
    """Print the rows of each run as they come, numbered where there are several."""
    report = Report(wanted.as_json)
    report.missing(absent(libraries, wanted.peers))
    for run in range(1, wanted.runs + 1):
        for row in rows():
            report.row({**row, "run": run} if wanted.runs > 1 else row)


def machine_line() -> str:
    """The machine in one line."""
    facts = machine()
    compiler = f", kernels by {facts['compiler']}" if facts["compiler"] else ""
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['arch']}, Python {facts['python']}{compiler}"


def peer_line(name: str, peer: Mapping[str, Any]) -> str:
    """One peer of the table."""
    ratio = peer["ratio"]
    figure = "     -" if ratio is None else f"{ratio:>6.2f}x +-{peer['ratio_spread_pct']:.0f} %"
    wins = " <" if ratio is not None and ratio < 1 else ""
    kind = peer["work"].split(":")[0]
    work = "" if kind == "same" else f" ({peer['work']})"
    threads = " (in more than one thread)" if peer.get("more_threads") else ""
    return f"{name:<22} {peer['us']:>12.1f}  {figure}{wins}{work}{threads} [{peer['version'] or '?'}]"
