"""Rows, scores and intervals of `eval vqa`: reading the set, the blind control, normalised exact match."""

from __future__ import annotations

import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edge_agent.cli.trust import trust
from edge_agent.errors import InputError
from edge_agent.policy.guards import AWAY
from edge_agent.sources.base import regular_file
from edge_agent.types import Answer, Route

T = TypeVar("T")
BOOTSTRAP = 2000
MAX_SET_BYTES = 1 << 30
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(value) for value, word in enumerate(NUMBER_WORDS)}


@dataclass(frozen=True, slots=True)
class Row:
    """One question of a set; `image` is absolute."""

    image: Path
    question: str
    answer: str
    kind: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with what was answered and its score 0..1; `answer` is None where `error` says why there is none."""

    row: Row
    score: float
    answer: Answer | None
    error: str | None = None


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file, images relative to it. Raises InputError with file and line."""
    regular_file(path, "file of JSON lines", MAX_SET_BYTES)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "name a file of JSON lines with --data") from error
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise InputError(f"{path} has no rows", 'a row is {"image": ..., "question": ..., "answer": ...}')
    return rows


def _row(path: Path, number: int, line: str) -> Row:
    hint = 'a row is {"image": ..., "question": ..., "answer": ...}'
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: not JSON: {error}", hint) from error
    wanted = ("image", "question", "answer")
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in wanted):
        raise InputError(f"{path}:{number}: no text in one of {', '.join(wanted)}", hint)
    image = path.parent / row["image"]
    if not os.path.isfile(image):  # noqa: PTH113 - never raises
        raise InputError(f"{path}:{number}: no such photo: {str(image)[:300]}", "paths are relative to this file")
    return Row(image, row["question"], row["answer"], str(row.get("kind", "all")))


def sample(rows: list[T], limit: int | None, seed: int) -> list[T]:
    """At most `limit` rows, drawn by `seed`, in file order."""
    if limit is None or limit >= len(rows):
        return rows
    chosen = sorted(random.Random(seed).sample(range(len(rows)), limit))
    return [rows[index] for index in chosen]


def blinded(rows: list[Row], seed: int) -> list[Row]:
    """Each question with another photo of the set: the photos are shuffled and moved on by one. Raises InputError."""
    photos = sorted({row.image for row in rows})
    if len(photos) < 2:
        raise InputError("the set has one photo", "--blind needs at least two")
    random.Random(seed).shuffle(photos)
    other = {photo: photos[(at + 1) % len(photos)] for at, photo in enumerate(photos)}
    return [replace(row, image=other[row.image]) for row in rows]


def normalise(text: str) -> str:
    """Lower case, no punctuation or articles, small numbers as digits, list items in order of the alphabet."""
    items = []
    for part in text.lower().split(","):
        words = [w for w in re.findall(r"[a-z0-9']+", part) if w not in ("a", "an", "the")]
        items.append(" ".join(NUMBERS.get(word, word) for word in words))
    return ", ".join(sorted(item for item in items if item))


def is_right(answer: str, truth: str) -> bool:
    """Exact match after normalisation."""
    return normalise(answer) == normalise(truth)


def report(scored: Sequence[Scored], seed: int) -> dict[str, Any]:
    """The figures of a run. The 95 % interval resamples photos, as questions about one photo fail together."""
    answered = [s for s in scored if s.answer is not None]
    answers = [s.answer for s in scored if s.answer is not None]
    away = [a.reason for a in answers if "cloud_failed" in a.timings_ms or AWAY in a.decision.guards]
    kinds: dict[str, list[float]] = defaultdict(list)
    routes: dict[str, list[float]] = defaultdict(list)
    for s in scored:
        kinds[s.row.kind].append(s.score)
        if s.answer is not None:
            routes[s.answer.route.value].append(s.score)
    return {
        "n": len(scored),
        "accuracy": _mean([s.score for s in scored]),
        "accuracy_ci": interval(scored, seed),
        "latency_ms": latency(answered),
        "bytes_up_mean": float(np.mean([a.bytes_up for a in answers] or [0])),
        "cloud_share": _mean([a.route is Route.CLOUD for a in answers]),
        "cloud_away": len(away),
        "first_away": next((reason.partition(": answered on")[0] for reason in away), None),
        "cost_usd": sum(a.cost_usd for a in answers),
        "verified": verified(answers),
        "confidence": trust(
            [a.confidence for a in answers], [s.score >= 0.5 for s in answered], [s.row.image for s in answered], seed
        ),
        "per_route": {name: {"n": len(scores), "accuracy": _mean(scores)} for name, scores in sorted(routes.items())},
        "kinds": {kind: {"n": len(scores), "accuracy": _mean(scores)} for kind, scores in sorted(kinds.items())},
        "errors": sum(s.answer is None for s in scored),
        "first_error": next((s.error for s in scored if s.error is not None), None),
    }


def latency(answered: Sequence[Scored]) -> dict[str, float | None]:
    """Median and 95th percentile of all, and the medians of each photo's first question and of all further ones (None
    of none): what was read of a photo need not be read again.
    """
    times = [(s.row.image, s.answer.timings_ms["total"]) for s in answered if s.answer is not None]
    seen: set[Path] = set()
    first, further = list[float](), list[float]()
    for image, took in times:
        (further if image in seen else first).append(took)
        seen.add(image)
    every = [took for _, took in times] or [0.0]
    return {
        "p50": float(np.percentile(every, 50)),
        "p95": float(np.percentile(every, 95)),
        "first_p50": float(np.percentile(first, 50)) if first else None,
        "further_p50": float(np.percentile(further, 50)) if further else None,
    }


def verified(answers: Sequence[Answer]) -> dict[str, Any]:
    """Drafts that the cloud has checked: `turns` with one, tokens `drafted` and `accepted`, their share, None for none.
    Each accepted token saved a step of the cloud.
    """
    drafted = sum(one.draft_tokens for one in answers)
    accepted = sum(one.accepted_tokens for one in answers)
    return {
        "turns": sum(one.draft_tokens > 0 for one in answers),
        "drafted": drafted,
        "accepted": accepted,
        "accepted_share": accepted / drafted if drafted else None,
    }


def interval(scored: Sequence[Scored], seed: int) -> list[float]:
    """[low, high] of the accuracy by a bootstrap over photos, 2000 draws."""
    by_photo: dict[Path, list[float]] = defaultdict(list)
    for s in scored:
        by_photo[s.row.image].append(s.score)
    right = np.array([sum(scores) for scores in by_photo.values()], dtype=np.float64)
    count = np.array([len(scores) for scores in by_photo.values()], dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(count), size=(BOOTSTRAP, len(count)))
    shares = right[draws].sum(axis=1) / count[draws].sum(axis=1)
    return [float(np.percentile(shares, 2.5)), float(np.percentile(shares, 97.5))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
