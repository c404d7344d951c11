"""The questions that are put to the nodes: real photos, kept apart by whether the pair was trained on them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.cli.vqa import Row, read_rows, sample
from edge_agent.sim.table import TRAINED_ON, UNSEEN

SEED = 0
SHAPES = 120
SEEN = 40


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture and what is asked about it."""

    source: str
    split: int
    path: Path
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Source:
    """One set of questions. `split` says whether the pair was trained on its photos."""

    name: str
    split: int
    rows: tuple[Row, ...]


def data_folder() -> Path:
    data = os.environ.get("EDGE_AGENT_DATA")
    if not data:
        raise SystemExit("EDGE_AGENT_DATA is not set: export EDGE_AGENT_DATA=/path/to/data")
    return Path(data)


def sources(limit: int | None = None) -> list[Source]:
    """DAQUAR and COCO dev whole, easy-VQA's test side in part; and a few questions about photos that were trained on.

    `limit` takes that many of each, for trying out.
    """
    data = data_folder()
    plan = [
        Source("daquar-dev", UNSEEN, tuple(read_rows(data / "daquar" / "dev.jsonl"))),
        Source("coco-dev", UNSEEN, tuple(read_rows(data / "coco" / "dev.jsonl"))),
        Source("easy-vqa-test", UNSEEN, _of_photos(list(_shapes()), SHAPES)),
        Source("daquar-train", TRAINED_ON, _of_photos(read_rows(data / "daquar" / "train.jsonl"), SEEN)),
        Source("coco-train", TRAINED_ON, _of_photos(read_rows(data / "coco" / "train.jsonl"), SEEN)),
    ]
    if limit is None:
        return plan
    return [Source(s.name, s.split, tuple(sample(list(s.rows), limit, SEED))) for s in plan]


def photos(plan: list[Source]) -> Iterator[Photo]:
    """Every photo once, in the order of the sets; each question about it once."""
    for source in plan:
        asked: dict[Path, dict[str, Row]] = {}
        for row in source.rows:
            asked.setdefault(row.image, {}).setdefault(row.question, row)
        for path, rows in asked.items():
            yield Photo(source.name, source.split, path, tuple(rows.values()))


def _of_photos(rows: list[Row], count: int) -> tuple[Row, ...]:
    """All questions about `count` photos, drawn by the seed."""
    chosen = set(sample(list(dict.fromkeys(row.image for row in rows)), count, SEED))
    return tuple(row for row in rows if row.image in chosen)


def identity(source: str, photo: str, question: str) -> int:
    """63 bits that name a question for ever, without telling it."""
    digest = hashlib.sha256(f"{source}\n{photo}\n{question}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _shapes() -> Iterator[Row]:
    import easy_vqa

    paths = easy_vqa.get_test_image_paths()
    for question, answer, image in zip(*easy_vqa.get_test_questions(), strict=True):
        yield Row(Path(paths[image]), question, answer, "shapes")
