"""One cell of the lab: every question by every route over one link, the routes taking turns, and the rows that come."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.cli.vqa import Row, Scored, interval, is_right, read_rows, sample
from tools.netlab.link import Trace
from tools.netlab.processes import Asking, CloudSide, EdgeSide, Link

PER_QUESTION = ("latencies_ms", "scores", "bytes")
"""Keys of a row with one number a question, all routes of a cell in the same order."""


def run_cell(
    link: Link, name: str, trace: Trace, routes: Sequence[str], asking: Asking, urls: dict[str, str]
) -> list[dict[str, Any]]:
    """A row for each route, see `row_of`.

    Every question is asked by all routes, one after the other in an order drawn for it, before the next one is: what
    else the machine and its neighbours do meets all of them alike. `urls` has a cloud for each route, so that none
    finds warm what another has asked.
    """
    questions = sample(read_rows(asking.data), asking.limit, asking.seed)
    draw, began_s = random.Random(asking.seed), time.monotonic()
    told: dict[str, list[dict[str, Any]]] = {route: [] for route in routes}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="netlab-")))
        edges = []
        for route in routes:
            (folder / route).mkdir()
            edges.append(stack.enter_context(EdgeSide(link, urls.get(route, ""), route, asking, folder / route)))
        for edge in edges:
            edge.wait()
        link.begin(trace)
        for question in questions:
            for edge in draw.sample(edges, len(edges)):
                before = link.bytes_up
                answer = edge.ask(question.image, question.question)
                told[edge.name].append(answer | {"wire_bytes_up": link.bytes_up - before})
    took_s = round(time.monotonic() - began_s, 1)
    about = {"link": name, "conditions": asdict(trace.at(0)), "way": link.way, "seconds": took_s, **_of(asking)}
    return [about | {"route": route} | row_of(questions, told[route], asking.seed) for route in routes]


def row_of(questions: Sequence[Row], told: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """The figures of one route in one cell, with the keys of `eval vqa --json`, and PER_QUESTION."""
    scored = [
        Scored(row, float(one["error"] is None and is_right(one["text"], row.answer)), None, one["error"])
        for row, one in zip(questions, told, strict=True)
    ]
    answered = [one for one in told if one["error"] is None]
    latency = [one["total_ms"] for one in answered] or [0.0]
    return {
        "n": len(scored),
        "accuracy": float(np.mean([one.score for one in scored])),
        "accuracy_ci": interval(scored, seed),
        "latency_ms": {"p50": float(np.percentile(latency, 50)), "p95": float(np.percentile(latency, 95))},
        "bytes_up_mean": float(np.mean([one["bytes_up"] for one in answered] or [0])),
        "wire_bytes_up_mean": sum(one["wire_bytes_up"] for one in told) / max(1, len(told)),
        "cloud_share": float(np.mean([one["route"] == "cloud" for one in answered] or [0])),
        "drafted_share": float(np.mean([one["draft_tokens"] > 0 for one in answered] or [0])),
        "timings_ms": _stages(answered),
        "errors": len(told) - len(answered),
        "first_error": next((one["error"] for one in told if one["error"] is not None), None),
        "latencies_ms": [round(one["total_ms"], 1) for one in told],
        "scores": [one.score for one in scored],
        "bytes": [one["bytes_up"] for one in told],
    }


class WorkFile:
    """What was measured so far, a row a line, appended as it comes: a run that was cut short goes on."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = list(read_work(path)) if path is not None and path.exists() else []

    def has(self, name: str, route: str, asking: Asking) -> bool:
        """Whether this route of this cell was measured with the same questions and settings."""
        wanted = {"link": name, "route": route, **_of(asking)}
        return any(all(row.get(key) == value for key, value in wanted.items()) for row in self.rows)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows += rows
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)


def read_work(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a work file; a last line that was cut is left out. SystemExit for another broken one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        row = _row(line)
        if row is not None:
            yield row
        elif number < len(lines):
            raise SystemExit(f"{path}:{number}: no row of the lab")


def _row(line: str) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return row


def clouds(stack: ExitStack, link: Link, routes: Sequence[str], core: int | None, model: str) -> dict[str, str]:
    """A cloud for each route that asks one; their URLs."""
    asking = [route for route in routes if route != "local"]
    sides = [stack.enter_context(CloudSide(link, core, ("--model", model))) for _ in asking]
    return {route: side.url for route, side in zip(asking, sides, strict=True)}


def _of(asking: Asking) -> dict[str, Any]:
    """What makes two rows of one link comparable."""
    return {
        "data": asking.data.parent.name + "/" + asking.data.name,
        "limit": asking.limit,
        "seed": asking.seed,
        "policy": asking.policy,
        "deadline_ms": asking.deadline_ms,
        "cloud_model": asking.cloud_model,
    }


def _stages(answered: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The median of each stage, ms."""
    names = {name for one in answered for name in one["timings_ms"]}
    return {
        name: round(float(np.median([one["timings_ms"].get(name, 0.0) for one in answered])), 2)
        for name in sorted(names)
    }
