"""Measures what `tmo` starts from: real questions through the shipped pair, on the device and in the cloud.

Usage, with a cloud that listens:

    python -m cloud_stub &
    python -m tools.measure_tmo DATA/daquar/dev.jsonl:1000 DATA/coco/dev.jsonl > edge_agent/assets/tmo.json

Each file holds lines of {"image","question","answer"}; `:N` takes that many, drawn by seed 0. Questions about one
photo, in the file's order, are taken as conversations of up to five turns.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_agent.cli.answering import Asked, answer_all
from edge_agent.cli.options import settle
from edge_agent.cli.vqa import Row, is_right, read_rows, sample
from edge_agent.policy.conversation import SPAN
from edge_agent.policy.tmo_responses import TASKS, VERSION, task_of
from edge_agent.store.models import find_bundle
from edge_agent.types import Route
from edge_agent.vlm.manifest import read_manifest

ROUTES = (Route.LOCAL, Route.CLOUD)
SEED = 0
MOST_FAILED = 0.02


def measure(rows: Sequence[Row], cloud: str) -> tuple[list[list[int]], list[list[int]]]:
    """(right, asked), each [task][route]. Ends with a message where too many questions went another way."""
    right = [[0, 0] for _ in TASKS]
    asked = [[0, 0] for _ in TASKS]
    questions = [Asked(row.image, row.image.name, row.question) for row in rows]
    for column, route in enumerate(ROUTES):
        url = "" if route is Route.LOCAL else cloud
        loaded = settle(None, route=route.value, cloud_url=url, deadline_ms=60_000.0, max_cost=1.0)
        answers = asyncio.run(answer_all(loaded, questions, quiet=not sys.stderr.isatty()))
        failed = 0
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, str) or answer.route is not route:
                failed += 1
                continue
            task = task_of(row.question)
            asked[task][column] += 1
            right[task][column] += is_right(answer.text, row.answer)
        if failed > MOST_FAILED * len(rows):
            raise SystemExit(f"{failed} of {len(rows)} questions were not answered by the {route.value} model")
    return right, asked


def conversations(rows: Sequence[Row]) -> list[list[int]]:
    """The tasks of each conversation: questions that follow one another about the same photo, at most five."""
    talks: list[list[int]] = []
    photo: Path | None = None
    for row in rows:
        if row.image != photo or len(talks[-1]) == SPAN:
            talks.append([])
            photo = row.image
        talks[-1].append(task_of(row.question))
    return talks


def chain(talks: Sequence[Sequence[int]]) -> tuple[list[list[float]], list[float]]:
    """(next_task, goes_on); transitions with one added to each count."""
    counts = Counter((a, b) for talk in talks for a, b in pairwise(talk))
    following = []
    for a in range(len(TASKS)):
        row = [counts[a, b] + 1 for b in range(len(TASKS))]
        following.append([round(n / sum(row), 6) for n in row])
    longer = [sum(len(talk) > turn for talk in talks) for turn in range(SPAN + 1)]
    return following, [round(longer[t + 1] / longer[t], 6) if longer[t] else 0.0 for t in range(SPAN)]


def describe(name: str) -> str:
    manifest = read_manifest(find_bundle(name))
    return f"{name} {manifest.version}, encoder {manifest.encoder_id}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE[:N]")
    parser.add_argument("--cloud", default="http://127.0.0.1:8787")
    arguments = parser.parse_args()
    rows: list[Row] = []
    talks: list[list[int]] = []
    sources: list[dict[str, Any]] = []
    for spec in arguments.files:
        name, _, count = spec.partition(":")
        path = Path(name)
        whole = read_rows(path)
        drawn = sample(whole, int(count) if count else None, SEED)
        rows += drawn
        talks += conversations(whole)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        source = "/".join(path.parts[-2:])
        sources.append({"file": source, "sha256": digest, "questions": len(drawn), "drawn_by_seed": SEED})
    right, asked = measure(rows, arguments.cloud)
    following, goes_on = chain(talks)
    measured_with = "; ".join(describe(name) for name in ("edge-vqa", "cloud-vqa"))
    table = {
        "version": VERSION,
        "tasks": list(TASKS),
        "right": right,
        "asked": asked,
        "next_task": following,
        "goes_on": goes_on,
        "measured_with": measured_with,
        "sources": sources,
        "made_by": "tools/measure_tmo.py",
    }
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
