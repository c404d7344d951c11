"""What the lab's rows show: tables of links and routes, and a verdict on each claim, as text for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CLOSE_POINTS = 0.4
"""As accurate: not more than so many points of accuracy below cloud by JPEG."""
HALF, THIRD_LESS, FIFTH = 0.5, 0.7, 0.2
DRAWS = 1000
TITLES = ("local", "cloud", "jpeg", "jpeg-small", "webp", "verified", "auto")
Cell = Mapping[str, Mapping[str, Any]]
"""The rows of one link by route."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim about a cell: `ratio` of what is claimed to be smaller to what it is held against, which is to be at
    most `bound`. None where the cell has not the routes for it. `interval`: 95 % of its bootstrap over questions.
    """

    name: str
    ratio: float | None
    bound: float
    interval: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `not clear` where the interval has the bound within it."""
        if self.ratio is None:
            return "not measured"
        if self.interval is not None and self.interval[0] <= self.bound < self.interval[1]:
            return "met, not clear" if self.ratio <= self.bound else "not clear"
        return "met" if self.ratio <= self.bound else "missed"


def by_link(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Cells in the order of the fastest link first; of a route measured twice the last."""
    cells: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        cells.setdefault(row["link"], {})[row["route"]] = row

    def place(name: str) -> tuple[float, float, float]:
        link = next(iter(cells[name].values()))["conditions"]
        return -link["up_mbit"], link["rtt_ms"], link["loss"]

    return {name: cells[name] for name in sorted(cells, key=place)}


def claims(cell: Cell) -> list[Claim]:
    """All claims about one link."""
    return [_as_accurate(cell), *_faster(cell), _smaller(cell), _never_slower(cell)]


def fixed_as_accurate(cell: Cell) -> str | None:
    """The fixed route with the least p50 of those that are as accurate as cloud by JPEG."""
    if "jpeg" not in cell:
        return None
    least = cell["jpeg"]["accuracy"] - CLOSE_POINTS / 100
    good = [name for name, row in cell.items() if name != "auto" and row["accuracy"] >= least]
    return min(good, key=lambda name: float(cell[name]["latency_ms"]["p50"]))


def _as_accurate(cell: Cell) -> Claim:
    name = f"auto: at most {CLOSE_POINTS} points below jpeg"
    if not {"auto", "jpeg"} <= set(cell):
        return Claim(name, None, CLOSE_POINTS)
    scores = np.array([cell["jpeg"]["scores"], cell["auto"]["scores"]])  # [2, n], the same questions
    below = (scores[0] - scores[1]) * 100
    return Claim(name, float(below.mean()), CLOSE_POINTS, _bootstrap(below.size, lambda at: float(below[at].mean())))


def _faster(cell: Cell) -> list[Claim]:
    best = fixed_as_accurate(cell)
    return [
        _p50(cell, "auto", "jpeg", HALF, "auto: p50 at most half of jpeg's"),
        _p50(cell, "auto", best, THIRD_LESS, "auto: p50 at most 0.7 of the best fixed route as accurate"),
    ]


def _never_slower(cell: Cell) -> Claim:
    return _p50(cell, "verified", "cloud", 1.0, "verified: p50 at most that of cloud")


def _p50(cell: Cell, name: str, other: str | None, bound: float, words: str) -> Claim:
    if other is None or not {name, other} <= set(cell):
        return Claim(words, None, bound)
    one, two = (np.array(cell[route]["latencies_ms"]) for route in (name, other))  # [n], the same questions

    def ratio(at: Any) -> float:
        return float(np.median(one[at]) / max(1e-9, float(np.median(two[at]))))

    return Claim(words, ratio(slice(None)), bound, _bootstrap(one.size, ratio))


def _smaller(cell: Cell) -> Claim:
    name = "auto: at most a fifth of jpeg's bytes"
    if not {"auto", "jpeg"} <= set(cell):
        return Claim(name, None, FIFTH)
    return Claim(name, cell["auto"]["bytes_up_mean"] / max(1.0, cell["jpeg"]["bytes_up_mean"]), FIFTH)


def _bootstrap(count: int, figure: Callable[[Any], float]) -> tuple[float, float]:
    """The middle 95 % of `figure` over draws of questions."""
    draws = np.random.default_rng(0).integers(0, count, size=(DRAWS, count))
    low, high = np.percentile([figure(at) for at in draws], [2.5, 97.5])
    return float(low), float(high)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: p50 and p95 of each route by link, then accuracy and bytes of each route, then the claims."""
    cells = by_link(rows)
    routes = [name for name in TITLES if any(name in cell for cell in cells.values())]
    lines = [f"| link | {' | '.join(routes)} | questions |", "|---" * (len(routes) + 2) + "|"]
    for name, cell in cells.items():
        lines.append(f"| {name} | {' | '.join(_times(cell.get(route)) for route in routes)} | {_count(cell)} |")
    return "\n\n".join(("\n".join(lines), _routes_table(cells, routes), _claims_table(cells)))


def _times(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"{row['latency_ms']['p50']:.0f} ({row['latency_ms']['p95']:.0f})"


def _count(cell: Cell) -> str:
    """How many questions, and errors where there were some."""
    asked = {row["n"] for row in cell.values()}
    errors = sum(row["errors"] for row in cell.values())
    return "/".join(map(str, sorted(asked))) + (f", {errors} errors" if errors else "")


def _routes_table(cells: Mapping[str, Cell], routes: Sequence[str]) -> str:
    keys = "accuracy | bytes up | with all headers | cloud share | with a draft"
    lines = [f"| route | {keys} |", "|---" * 6 + "|"]
    for route in routes:
        rows = [cell[route] for cell in cells.values() if route in cell]
        shares = ("accuracy", "cloud_share", "drafted_share")
        accuracy, cloud, drafted = (_range([100 * row[key] for row in rows], ".1f", " %") for key in shares)
        sent, wire = (_range([row[key] for row in rows], ",.0f") for key in ("bytes_up_mean", "wire_bytes_up_mean"))
        lines.append(f"| {route} | {accuracy} | {sent} | {wire} | {cloud} | {drafted} |")
    return "\n".join(lines)


def _range(values: Sequence[float], form: str, unit: str = "") -> str:
    low, high = format(min(values), form), format(max(values), form)
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _claims_table(cells: Mapping[str, Cell]) -> str:
    found: dict[str, list[tuple[str, Claim]]] = {}
    for name, cell in cells.items():
        for claim in claims(cell):
            found.setdefault(claim.name, []).append((name, claim))
    lines = ["| claim | met | not clear | missed | measured | not met at |", "|---" * 6 + "|"]
    for title, of in found.items():
        seen = [(name, claim) for name, claim in of if claim.ratio is not None]
        verdicts = [claim.verdict for _, claim in seen]
        unclear = sum("not clear" in one for one in verdicts)
        wrong = [name for name, claim in seen if claim.verdict in ("missed", "not clear")]
        measured = _range([claim.ratio for _, claim in seen if claim.ratio is not None] or [0.0], ".2f")
        counts = f"{verdicts.count('met')} | {unclear} | {verdicts.count('missed')}"
        lines.append(f"| {title} | {counts} | {measured if seen else ''} | {_some(wrong, len(seen))} |")
    return "\n".join(lines)


def _some(names: Sequence[str], count: int) -> str:
    return "all" if names and len(names) == count else "; ".join(names)
