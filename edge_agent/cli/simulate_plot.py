"""`edge-agent simulate --plot`: accuracy against latency, a panel a scenario. Needs the extra `plot`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_agent.errors import UsageError
from edge_agent.sim.compare import Comparison

SUFFIXES = (".png", ".svg", ".pdf")
COLUMNS = 4


def check_plot(path: Path) -> None:
    """Refuse what cannot be drawn before anything is simulated. Raises UsageError."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: no {', '.join(SUFFIXES)} file", "give it one of these endings")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib", "pip install 'edge-agent[plot]'")


def plot(path: Path, compared: Sequence[Comparison]) -> None:
    """Draw every comparison; bars are 95 % intervals over seeds. Raises UsageError where the file cannot be written."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(compared))
    rows = math.ceil(len(compared) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for at, comparison in enumerate(compared):
        _panel(axes[at // columns][at % columns], comparison)
    for empty in range(len(compared), rows * columns):
        axes[empty // columns][empty % columns].set_axis_off()
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise UsageError(f"--plot {path} cannot be written: {error.strerror or error}", "name another file") from error


def _panel(axis: Any, comparison: Comparison) -> None:
    for at, name in enumerate(comparison.ranked()):
        latency, right = comparison.of(name, "latency_ms"), comparison.of(name, "accuracy")
        spread = [half if math.isfinite(half) else 0.0 for half in (latency.half, right.half)]
        axis.errorbar(
            latency.mean,
            100 * right.mean,
            xerr=min(spread[0], 0.99 * latency.mean),
            yerr=100 * spread[1],
            marker="o",
            color=f"C{at % 10}",
            label=name,
        )
    axis.set_xscale("log")
    axis.set_title(comparison.scenario.name, fontsize=10)
    axis.set_xlabel("ms until the answer, mean")
    axis.set_ylabel("right answers, %")
    axis.legend(fontsize=6)
