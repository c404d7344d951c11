"""Fits the predictors of quality and latency on the measured table, and says how good they are on unseen photos.

    python -m tools.fit_nodes      writes edge_agent/assets/nodes.json, docs/nodes-*.png, the table in docs/methods.md
    python -m tools.fit_nodes --report     figures alone

Every figure is by cross-fitting over photos: a question is judged by models that never saw its photo. What is shipped
is fitted on three of five folds alone; policies are judged on the other two (`MeasuredTable.judged`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.policy.predictors import DRAFT_NUMBERS, NUMBERS, VERSION, Predictors
from edge_agent.sim.table import CLOUD, JUDGED_FOLDS, MeasuredTable
from edge_agent.sim.table_file import read_table
from edge_agent.types.odds import logit
from tools.marked import DOCS, write_marked
from tools.nodes.fitting import (
    Design,
    calibration_error,
    cross_fit,
    logistic,
    plot_latency,
    plot_quality,
    ranked,
    recovered,
    ridge,
)

F64 = NDArray[np.float64]
COUNTED = 25  # questions that a word must stand in
DRAFTER = "edge-1t"


def design_of(table: MeasuredTable, rows: NDArray[np.int64]) -> tuple[Design, list[str]]:
    """What the device will see of each question, by the device's own code; and the closed list of words."""
    counts: dict[str, int] = {}
    for row in rows:
        for word in {w.strip("?.,!;:\"'()") for w in str(table.question[row]).lower().split()}:
            counts[word] = counts.get(word, 0) + 1
    words = sorted(w for w, n in counts.items() if n >= COUNTED and w not in ("", "thing", "things"))
    reader = Predictors({word: at for at, word in enumerate(words)}, {}, "")
    x, megapixels = np.zeros((len(rows), len(NUMBERS) + len(words))), np.zeros(len(rows))
    for i, row in enumerate(rows):
        seen = reader.see(table.features(int(row)))
        x[i, : len(NUMBERS)] = seen.numbers
        x[i, [len(NUMBERS) + at for at in seen.words]] = 1.0
        megapixels[i] = seen.megapixels
    return Design(x, megapixels, table.folds()[rows]), words


def draft_columns(table: MeasuredTable, rows: NDArray[np.int64]) -> F64:
    """[n, 3] of the device's draft, as DRAFT_NUMBERS names them."""
    c = table.columns[DRAFTER]
    sure = np.array([logit(float(p)) for p in c.confidence[rows]])
    return np.stack([sure, c.entropy[rows].astype(np.float64), c.gain[rows].astype(np.float64)], axis=1)


def fit_node(
    table: MeasuredTable, name: str, rows: NDArray[np.int64], design: Design
) -> tuple[dict[str, Any], dict[str, Any], dict[str, F64]]:
    """(what is shipped of the node, its figures, its cross-fitted predictions)."""
    node, columns, count = table.nodes[name], table.columns[name], len(NUMBERS)
    right, draft = columns.right[rows].astype(np.float64), draft_columns(table, rows)
    both = np.hstack([design.x, draft])
    sized = np.hstack([design.x, design.megapixels[:, None]])
    device, service = columns.device_ms[rows], columns.service_ms[rows]
    before = cross_fit(design.x, right, design.folds, logistic)
    fitted = ~np.isin(design.folds, JUDGED_FOLDS)
    after = cross_fit(both, right, design.folds, logistic)
    latency = cross_fit(sized, device, design.folds, ridge) + cross_fit(design.x, service, design.folds, ridge)
    actual = device + service
    w, v = logistic(design.x[fitted], right[fitted]), logistic(both[fitted], right[fitted])
    d, s = ridge(sized[fitted], device[fitted]), ridge(design.x[fitted], service[fitted])
    shipped = {
        "place": node.place,
        "quality": _linear(w, count),
        "drafted": _linear(v[: -len(DRAFT_NUMBERS)], count),
        "draft": _rounded(v[-len(DRAFT_NUMBERS) :]),
        "device_ms": _linear(d[:-1], count),
        "megapixel_ms": _rounded(d[-1:])[0],
        "service_ms": _linear(s, count),
        "overhead_ms": node.overhead_ms,
        "bytes_up": int(np.median(columns.bytes_up[rows])) + node.overhead_bytes_up,
        "bytes_down": int(np.median(columns.bytes_down[rows])) + node.overhead_bytes_down,
    }
    off = np.abs(latency - actual) / actual
    sources = table.photos.source[table.photo[rows]]
    within = {
        table.sources[at]: [
            ranked(before[sources == at], right[sources == at]),
            ranked(after[sources == at], right[sources == at]),
        ]
        for at in np.unique(sources)
    }
    figures = {
        "questions": len(rows),
        "right": round(float(right.mean()), 4),
        "auc_before": ranked(before, right),
        "auc_drafted": ranked(after, right),
        "ece_before": calibration_error(before, right),
        "ece_drafted": calibration_error(after, right),
        "auc_within_sources": within,
        "latency_relative_error": {f"p{q}": round(float(np.percentile(off, q)), 4) for q in (50, 90)},
    }
    return shipped, figures, {"before": before, "after": after, "right": right, "latency": latency, "actual": actual}


def fit_gain(
    table: MeasuredTable,
    name: str,
    rows: NDArray[np.int64],
    curves: dict[str, dict[str, F64]],
    design: Design,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(weights, figures) of what the cloud node `name` gains over the device's own draft, see predictors.Gain."""
    here, there = curves[DRAFTER]["right"], curves[name]["right"]
    draft = draft_columns(table, rows)
    both, count = np.hstack([design.x, draft]), len(NUMBERS)
    fitted = ~np.isin(design.folds, JUDGED_FOLDS)
    weights, said, before = dict[str, Any](), np.zeros(len(rows)), np.zeros(len(rows))
    for sign, of, only in ((1.0, "cloud", there * (1.0 - here)), (-1.0, "device", here * (1.0 - there))):
        told, early = logistic(both[fitted], only[fitted]), logistic(design.x[fitted], only[fitted])
        weights[of] = {
            "told": _linear(told[: -len(DRAFT_NUMBERS)], count),
            "draft": _rounded(told[-len(DRAFT_NUMBERS) :]),
            "before": _linear(early, count),
        }
        said += sign * cross_fit(both, only, design.folds, logistic)
        before += sign * cross_fit(design.x, only, design.folds, logistic)
    gained = there - here
    figures = {
        "gain": round(float(gained.mean()), 4),
        "recovered_by_30_percent": {
            "expected gain": recovered(draft[:, 2], gained),
            "with question and picture": recovered(said, gained),
            "entropy": recovered(draft[:, 1], gained),
        },
    }
    return {"gain": {**weights, "spread": _rounded([(said - before)[fitted].std()])[0]}}, figures


def table_of(figures: dict[str, dict[str, Any]]) -> str:
    """How good the predictors are, as Markdown."""
    rows = [
        "| node | right | MGQP before | with the draft | ECE before / with | MILP, median relative error |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in figures.items():
        rows.append(
            f"| `{name}` | {100 * one['right']:.1f} % | {one['auc_before']:.3f} | {one['auc_drafted']:.3f} "
            f"| {one['ece_before']:.3f} / {one['ece_drafted']:.3f} "
            f"| {100 * one['latency_relative_error']['p50']:.1f} % |"
        )
    within = ", ".join(
        f"{before:.2f} before and {after:.2f} with the draft ({source})"
        for source, (before, after) in figures[DRAFTER]["auc_within_sources"].items()
    )
    return "\n".join([*rows, "", f"Within one set of questions, for `{DRAFTER}`: {within}."])


def _linear(weights: F64, count: int) -> dict[str, list[float]]:
    return {"numbers": _rounded(weights[:count]), "words": _rounded(weights[count:])}


def _rounded(weights: Sequence[float] | F64) -> list[float]:
    return [round(float(w), 5) for w in weights]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path("edge_agent/assets/nodes.npz"))
    parser.add_argument("--out", type=Path, default=Path("edge_agent/assets/nodes.json"))
    parser.add_argument("--plots", type=Path, default=DOCS)
    parser.add_argument("--report", action="store_true", help="print the figures, write nothing")
    wanted = parser.parse_args()
    table = read_table(wanted.table)
    rows = table.rows()
    design, words = design_of(table, rows)
    shipped, curves, judged = {}, {}, {}
    for name in table.nodes:
        shipped[name], judged[name], curves[name] = fit_node(table, name, rows, design)
        print(json.dumps({"node": name, **judged[name]}), flush=True)
    for name, node in table.nodes.items():
        if node.place == CLOUD:
            weights, figures = fit_gain(table, name, rows, curves, design)
            shipped[name] |= weights
            print(json.dumps({"node": name, **figures}), flush=True)
    if wanted.report:
        return
    models = sorted({f"{n.model} {n.version}, encoder {n.encoder_id}" for n in table.nodes.values()})
    document = {
        "version": VERSION,
        "numbers": list(NUMBERS),
        "draft_numbers": list(DRAFT_NUMBERS),
        "words": words,
        "nodes": shipped,
        "measured_with": "; ".join(models),
        "made_by": "python -m tools.fit_nodes",
        "fitted_on": f"{len(rows) - len(table.judged())} questions about photos that the pair was not trained on; "
        f"{len(table.judged())} others are left for judging policies",
    }
    wanted.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    drawn = [DRAFTER, [n for n in table.nodes if table.nodes[n].place == CLOUD][-1]]
    plot_quality(wanted.plots / "nodes-quality.png", {name: curves[name] for name in drawn})
    plot_latency(wanted.plots / "nodes-latency.png", curves)
    write_marked(wanted.plots / "methods.md", "predictors", table_of(judged))


if __name__ == "__main__":
    main()
