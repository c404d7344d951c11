"""Writes the table of each method's own headline into docs/methods.md, between its two marks, from a simulation.

    python -m tools.headlines                      12 cells x 20 seeds, some minutes of one core; edits docs/methods.md
    python -m tools.headlines --from FILE          of an earlier `edge-agent simulate --headlines --json > FILE`
    python -m tools.headlines --report             prints it, edits nothing

Run it again whenever the measured table (`tools.measure_nodes`) or its predictors (`tools.fit_nodes`) were remade.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_agent.sim.table_file import shipped_table
from tools.marked import DOCS, write_marked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="file", type=Path, help="lines of `edge-agent simulate --headlines --json`")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--report", action="store_true", help="print the table, edit nothing")
    wanted = parser.parse_args()
    said = wanted.file.read_text(encoding="utf-8") if wanted.file else simulated(wanted.seeds)
    text = table({line["method"]: line for line in map(json.loads, said.splitlines())})
    if wanted.report:
        print(text)
        return
    write_marked(DOCS / "methods.md", "headlines", text)


def simulated(seeds: int) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "edge_agent", "simulate", "--headlines", "--json", "--seeds", str(seeds)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def table(lines: dict[str, Any]) -> str:
    """The four methods over the cells, as Markdown."""
    moa, msao, qlmio, ours = (lines[name]["cells"] for name in ("moa-off", "msao", "qlmio", "hybrid"))
    rows = [
        "| cell | `moa-off`: latency, compute, points | `msao`: latency, over best UCB, points "
        "| `qlmio`: latency, points | `hybrid`: worth over best of the four, ± over seeds / photos |",
        "|---|---|---|---|---|",
    ]
    for cell in moa:
        a, b, c, d = moa[cell], msao[cell], qlmio[cell], ours[cell]
        rows.append(
            f"| {cell} | {_cut(a['latency_cut'])}, {_cut(a['compute_cut'])}, {_points(a['accuracy_over_cloud'])} "
            f"| {_cut(b['latency_cut'])}, {_cut(b['latency_cut_over_ucb'])}, {_points(b['accuracy_over_cloud'])} "
            f"| {_cut(c['largest_latency_cut'])}, {_points(c['accuracy_over_cloud'])} "
            f"| {_points(d['worth_over_best_of_four'])} / {_half(d['worth_over_best_of_four_by_photos'])} "
            f"({d['best_of_four']}) |"
        )
    holds = (f"{line['reached']} of {line['of']}" for line in (lines[n] for n in ("moa-off", "msao", "qlmio")))
    better = sum(bool(cell["better"]) for cell in ours.values())
    others = sum(bool(cell["better_on_other_photos"]) for cell in ours.values())
    never = (
        f"never worse in {lines['hybrid']['reached']} of {lines['hybrid']['of']}, better in {better}, on other photos, "
        f"too, in {others}"
    )
    rows += [f"| **headline holds in** | {' | '.join(holds)} | {never} |", "", *_ablations(msao), "", *_why(ours)]
    return "\n".join(rows)


def _why(ours: dict[str, Any]) -> list[str]:
    """What the pair leaves to win, from the measured table: why a headline is reached or missed."""
    table = shipped_table()
    rows = table.judged()
    here, there = (table.columns[name].right[rows].astype(float) for name in ("edge-1t", "cloud-tiles"))
    versions = ", ".join(sorted({f"`{n.model}` {n.version}" for n in table.nodes.values()}))
    device, cloud = 100 * here.mean(), 100 * there.mean()
    only = [100 * float((a > b).mean()) for a, b in ((there, here), (here, there))]
    said = [
        f"Measured with {versions}. On the judged photos the device is right in {device:.1f} %, the cloud in "
        f"{cloud:.1f} %; only the cloud is right in {only[0]:.1f} %, only the device in {only[1]:.1f} %."
    ]
    behind, views = (
        100 * sum(cell[key][0] for cell in ours.values()) / len(ours)
        for key in ("worth_behind_oracle", "worth_over_all_views")
    )
    said.append(f"An oracle that knows all answers is worth {behind:.1f} points more than `hybrid`.")
    said.append(
        f"Of what `hybrid` is worth, {views:.2f} points come from sending the overview alone where detail views gain "
        "less than they cost; `moa-off`, `qlmio` and `tmo` have no such choice."
    )
    return [" ".join(said)]


def _ablations(cells: dict[str, Any]) -> list[str]:
    """Means over the cells of what leaving a part of MSAO out changes."""
    rows = ["| `msao` | points | latency | worth |", "|---|---|---|---|"]
    for part in next(iter(cells.values()))["ablations"]:
        found = [cell["ablations"][part] for cell in cells.values()]
        points, latency, worth = (
            sum(one[key][0] for one in found) / len(found)
            for key in ("accuracy_over_msao", "latency_over_msao", "worth_over_msao")
        )
        rows.append(f"| {part} | {100 * points:+.2f} | {100 * latency:+.1f} % | {worth:+.4f} |")
    return rows


def _cut(three: list[float]) -> str:
    """A share by which something is lower, as a change: mean and half the interval."""
    mean, low, _ = three
    return f"{-100 * mean:+.0f} ± {100 * (mean - low):.0f} %"


def _half(three: list[float]) -> str:
    mean, low, _ = three
    return f"{100 * (mean - low):.2f}"


def _points(three: list[float]) -> str:
    mean, low, _ = three
    return f"{100 * mean:+.2f} ± {100 * (mean - low):.2f}"


if __name__ == "__main__":
    main()
