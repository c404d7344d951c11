"""How `edge-agent simulate --headlines` shows what each method's own claim comes to here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import click

from edge_agent.cli.output import emit
from edge_agent.cli.simulate_table import three
from edge_agent.sim.compare import Interval
from edge_agent.sim.headlines import Headline

LINKS, LOADS = ("wired", "wifi", "5g", "4g"), ("light", "busy", "crowd")
CELLS = tuple(f"{link}-{load}" for link in LINKS for load in LOADS)


def emit_headlines(found: Sequence[Headline]) -> None:
    """One JSON object a method; figures as [mean, low, high]."""
    for one in found:
        facts = {**dataclasses.asdict(one), "cells": _lists(one.cells)}
        emit(facts | {"reached": one.reached, "of": len(one.cells)})


def say_headlines(found: Sequence[Headline]) -> None:
    """A table a method for a terminal."""
    for one in found:
        click.echo(f"{one.method}: {one.claim}\n  holds in {one.reached} of {len(one.cells)} cells")
        if one.method == "hybrid":
            click.echo(f"  significantly better in {sum(bool(cell['better']) for cell in one.cells.values())}")
        for name, cell in one.cells.items():
            figures = ", ".join(f"{key} {_words(value)}" for key, value in cell.items() if _shown(value))
            click.echo(f"  {name:<12} {'holds ' if cell['reached'] else 'MISSED'} {figures}")
            for words, parts in cell.get("ablations", {}).items():
                click.echo(f"      {words}: " + ", ".join(f"{key} {_words(value)}" for key, value in parts.items()))


def _shown(value: Any) -> bool:
    return isinstance(value, (Interval, str)) or (isinstance(value, list) and bool(value))


def _words(value: Any) -> str:
    if isinstance(value, Interval):
        return f"{value.mean:+.4f} ± {value.half:.4f}"
    return " ".join(value) if isinstance(value, list) else str(value)


def _lists(value: Any) -> Any:
    if isinstance(value, Interval):
        return three(value)
    return {key: _lists(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value
