"""How `edge-agent simulate` shows a comparison: one JSON object, or a ranked table for people."""

from __future__ import annotations

import math
from typing import Any

import click

from edge_agent.cli.output import emit
from edge_agent.sim.compare import Comparison, Interval
from edge_agent.sim.simulator import METRICS

REFERENCE = "cloud"


def record_of(compared: Comparison) -> dict[str, Any]:
    """One JSON object. `policies` are ranked by worth; each figure is [mean, low, high] of a 95 % interval over seeds.

    `behind_best` is the worth that the best policy has more, `latency_cut` and `compute_cut` the shares by which it is
    below cloud-only, both seed by seed.
    """
    ranked = compared.ranked()
    rows = []
    for rank, name in enumerate(ranked, 1):
        row: dict[str, Any] = {"policy": name, "rank": rank}
        row |= {metric: three(compared.of(name, metric)) for metric in compared.values[name]}
        row["behind_best"] = three(compared.difference(ranked[0], name, "worth"))
        if REFERENCE in compared.values:
            row["accuracy_over_cloud"] = three(compared.difference(name, REFERENCE, "accuracy"))
            for cut, metric in (("latency_cut", "latency_ms"), ("compute_cut", "compute_ms")):
                if metric in compared.values[name]:
                    row[cut] = three(compared.lower(name, REFERENCE, metric))
        rows.append(row)
    scenario = compared.scenario
    return {"scenario": scenario.name, "about": scenario.about, "seeds": list(compared.seeds), "policies": rows}


def emit_table(compared: Comparison) -> None:
    """The record on stdout."""
    emit(record_of(compared))


def say_table(compared: Comparison) -> None:
    """The table for a terminal."""
    scenario, ranked, seeds = compared.scenario, compared.ranked(), len(compared.seeds)
    click.echo(f"{scenario.name}: {scenario.about}" if scenario.about else scenario.name)
    asked = scenario.arrivals.questions
    click.echo(f"  {seeds} paired seeds x {asked} questions; ± is a 95 % interval over seeds")
    click.echo(
        f"  {'policy':<14} {'worth':>16} {'behind best':>17} {'right %':>8} {'ms':>7} {'p95':>7} {'cloud %':>7} "
        f"{'KB up':>6} {'work ms':>7} {'mUSD':>6} {'J':>6}"
    )
    for name in ranked:
        mean = {metric: compared.of(name, metric) for metric in METRICS}
        behind = compared.difference(ranked[0], name, "worth")
        click.echo(
            f"  {name:<14} {_plus_minus(mean['worth']):>16} {_plus_minus(behind) if name != ranked[0] else '':>17} "
            f"{100 * mean['accuracy'].mean:8.2f} {mean['latency_ms'].mean:7.0f} {mean['latency_p95_ms'].mean:7.0f} "
            f"{100 * mean['cloud_share'].mean:7.1f} {mean['bytes_up'].mean / 1000:6.1f} "
            f"{mean['compute_ms'].mean:7.1f} {1000 * mean['cost_usd'].mean:6.2f} {mean['energy_j'].mean:6.1f}"
        )
    lost = [name for name in ranked if compared.of(name, "answered").mean < 1.0]
    for name in lost:
        click.echo(f"  {name} left {100 * (1 - compared.of(name, 'answered').mean):.1f} % unanswered")


def say_conversations(compared: Comparison) -> None:
    """The table of a scenario with conversations."""
    scenario, ranked = compared.scenario, compared.ranked()
    click.echo(f"{scenario.name}: {scenario.about}" if scenario.about else scenario.name)
    click.echo(f"  {len(compared.seeds)} paired splits; ± is a 95 % interval over them; a conversation's means")
    click.echo(f"  {'policy':<12} {'reward':>16} {'behind best':>17} {'response':>8} {'s':>6} {'USD':>8} {'over %':>7}")
    for name in ranked:
        mean = {metric: compared.of(name, metric) for metric in compared.values[name]}
        behind = compared.difference(ranked[0], name, "worth")
        click.echo(
            f"  {name:<12} {_plus_minus(mean['worth']):>16} {_plus_minus(behind) if name != ranked[0] else '':>17} "
            f"{mean['accuracy'].mean:8.3f} {mean['latency_ms'].mean / 1000:6.2f} {mean['cost_usd'].mean:8.5f} "
            f"{100 * mean['over_budget'].mean:7.1f}"
        )


def three(value: Interval) -> list[float | None]:
    """[mean, low, high]; the bounds are null where one seed has none."""
    return [value.mean, *(bound if math.isfinite(bound) else None for bound in (value.low, value.high))]


def _plus_minus(value: Interval) -> str:
    return f"{value.mean:.4f}" + (f" ± {value.half:.4f}" if math.isfinite(value.half) else "")
