"""`edge-agent bench goals`: rows of several runs held against the goals: must, stretch, reached, verdict."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.bench.targets import GOALS, TOUGHER, Goal
from edge_agent.cli.options import json_option
from edge_agent.cli.output import emit
from edge_agent.cli.paths import FILE
from edge_agent.errors import InputError

SYNTHETIC = ("texture", "noise", "normal")
PAYLOAD, ROUND_TRIP = "payload", "round_trip"
MAX_BYTES = 1 << 26
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one goal stands. `by_size` and `elsewhere` (real inputs, cold cache) are medians over the runs.

    `reached` is the worst size on the synthetic input with a warm cache, None where no row tells.
    """

    goal: Goal
    reached: float | None
    worst_size: str | None
    by_size: Mapping[str, float]
    elsewhere: Mapping[str, float]
    runs: int

    @property
    def word(self) -> str:
        """stretch, must, missed, or no rows."""
        if self.reached is None:
            return "no rows"
        if self.goal.reached(self.reached, self.goal.stretch):
            return "stretch"
        return "must" if self.goal.reached(self.reached, self.goal.must) else "MISSED"


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@json_option
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Hold the rows in FILES, as `bench ... --json` prints them, against the goals.

    \b
    for i in 1 2 3; do edge-agent bench features --json; edge-agent bench audio --json; done > rows.jsonl
    edge-agent bench goals rows.jsonl
    """
    rows = [row for file in files for row in read_rows(file)]
    verdicts = [judge(goal, rows) for goal in GOALS]
    if as_json:
        for verdict in verdicts:
            emit(asdict(verdict) | {"verdict": verdict.word})
        return
    click.echo("| goal | must | stretch | reached | where worst | verdict | all sizes | real and cold, worst |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for verdict in verdicts:
        click.echo(line(verdict))
    for words in tougher(rows):
        click.echo(words)
    musts = [v for v in verdicts if v.reached is not None]
    click.echo(
        f"\n{sum(v.word != 'MISSED' for v in musts)} of {len(musts)} musts, "
        f"{sum(v.word == 'stretch' for v in musts)} of {sum(v.goal.stretch is not None for v in musts)} stretches"
    )


def read_rows(path: Path) -> list[Row]:
    """Rows of a file of JSON lines. Raises InputError with file and line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES} bytes", "name a file that `bench --json` wrote")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {words}", "name a file that `bench --json` wrote") from error
    return [_row(path, number, text) for number, text in enumerate(lines, 1) if text.strip()]


def _row(path: Path, number: int, text: str) -> Row:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: not JSON: {error}", "name a file that `bench --json` wrote") from error
    if not isinstance(row, dict) or not isinstance(row.get("bench"), str) or not isinstance(row.get("peers", {}), dict):
        raise InputError(f"{path}:{number}: no row of a benchmark", "name a file that `bench --json` wrote")
    return row


def judge(goal: Goal, rows: Sequence[Row]) -> Verdict:
    """One goal against all rows that tell of it."""
    judged: dict[str, list[float]] = defaultdict(list)
    others: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        figure = _figure(goal, row)  # of payloads, what was really seen counts
        if figure is None:
            continue
        source, variant = row.get("input", SYNTHETIC[0]), row.get("variant", "warm")
        if goal.case in (PAYLOAD, ROUND_TRIP) or (source in SYNTHETIC and variant == "warm"):
            judged[row["size"]].append(figure)
        else:
            others[f"{source} {variant} {row['size']}"].append(figure)
    by_size = {size: statistics.median(figures) for size, figures in judged.items()}
    elsewhere = {where: statistics.median(figures) for where, figures in others.items()}
    worst = _worst(goal, by_size)
    runs = max((len(figures) for figures in judged.values()), default=0)
    return Verdict(goal, None if worst is None else by_size[worst], worst, by_size, elsewhere, runs)


def _figure(goal: Goal, row: Row) -> float | None:
    """What a row says of a goal; None if nothing."""
    if (row["bench"], row.get("case")) != (goal.bench, goal.case) or (goal.sizes and row["size"] not in goal.sizes):
        return None
    if goal.pixels is not None and row.get("pixels") != goal.pixels:
        return None
    if goal.codec is not None:
        return _saving(goal, row)
    if not goal.is_ratio:
        return float(row["ours_us"])
    return min(ratios(row, goal.peers), default=None)


def _saving(goal: Goal, row: Row) -> float | None:
    """The smallest of bytes by others / bytes by the codec."""
    others = row.get("others_bytes", {})
    sizes = [float(others[name]) for name in goal.peers if name in others and row.get("codec") == goal.codec]
    return min(sizes) / float(row["bytes_mean"]) if sizes else None


def ratios(row: Row, names: Iterable[str]) -> list[float]:
    """The ratios of those of `names` that were measured."""
    peers = row.get("peers", {})
    return [float(peers[name]["ratio"]) for name in names if name in peers and peers[name]["ratio"] is not None]


def _worst(goal: Goal, figures: Mapping[str, float]) -> str | None:
    if not figures:
        return None
    return (min if goal.is_ratio else max)(figures, key=lambda size: figures[size])


def line(verdict: Verdict) -> str:
    """One line of the table."""
    goal = verdict.goal
    sign = ">=" if goal.is_ratio else "<="
    stretch = "-" if goal.stretch is None else f"{sign} {goal.stretch:g}"
    reached = "-" if verdict.reached is None else f"{verdict.reached:.2f}"
    sizes = ", ".join(f"{size} {figure:.2f}" for size, figure in verdict.by_size.items())
    worst = _worst(goal, verdict.elsewhere)
    elsewhere = "-" if worst is None else f"{verdict.elsewhere[worst]:.2f} ({worst})"
    cells = (goal.title(), f"{sign} {goal.must:g}", stretch, reached, verdict.worst_size or "-", verdict.word)
    return f"| {' | '.join(cells)} | {sizes or '-'} | {elsewhere} |"


def tougher(rows: Sequence[Row]) -> list[str]:
    """What ours reaches beside the peers that no goal was set beside."""
    found = []
    for (bench, case), names in TOUGHER.items():
        for name in names:
            verdict = judge(Goal(bench, case, (name,), 1.0, None), rows)
            if verdict.reached is not None:
                sizes = ", ".join(f"{size} {figure:.2f}" for size, figure in verdict.by_size.items())
                found.append(
                    f"| {case} / {name} | no goal | - | {verdict.reached:.2f} | {verdict.worst_size} | "
                    f"{'wins' if verdict.reached < 1 else '-'} | {sizes} | - |"
                )
    return found
