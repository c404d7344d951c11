"""Measures what each quality of the learned basis costs: bytes of a view, and right answers that it loses.

    python -m tools.measure_levels             writes edge_agent/assets/levels.json; some ten minutes of one core
    python -m tools.measure_levels --report    prints it

The shipped pair answers questions of the measured table's sources about photos that no predictor is judged on, from
embeddings without loss and as each level codes them. Few answers change, so that what a level loses by itself is all
noise: `lost` is the share of answers that it changes, times what a changed answer loses (see `lost_by_a_change`).
Needs EDGE_AGENT_DATA and `pip install easy-vqa==1.0`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.cli.vqa import is_right
from edge_agent.sim.table import JUDGED_FOLDS
from edge_agent.sim.table_file import shipped_table
from edge_agent.sources.photo import load_photo
from edge_agent.store.models import find_bundle
from edge_agent.transport.codecs import decode_views, join_views
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import PREFIX, projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, VisionEncoder
from tools.nodes.questions import Photo, photos, sources

OUT = Path("edge_agent/assets/levels.json")
MAX_NEW_TOKENS = 16


def fitted() -> list[Photo]:
    """The photos of the table's sources that are not judged on, in the table's order."""
    table = shipped_table()
    folds = {}
    for photo, fold in zip(table.photo, table.folds(), strict=True):
        at = int(photo)
        folds[table.sources[int(table.photos.source[at])], str(table.photos.name[at])] = int(fold)
    return [one for one in photos(sources(None)) if folds.get((one.source, one.name), 0) not in JUDGED_FOLDS]


class Measuring:
    """The shipped pair: `answers` of a photo's questions without loss, then at each level; `sizes` of its views."""

    def __init__(self) -> None:
        edge = Bundle.open(find_bundle("edge-vqa"))
        register_shipped(edge.codec_files)
        self._eyes, self._mind = VisionEncoder(edge), Generator(Bundle.open(find_bundle("cloud-vqa")))
        codec = projected_codecs(edge.encoder_id)[0]
        self.basis_id = codec.codec_id.removeprefix(PREFIX)
        self.codecs = [codec.at(level) for level in range(len(codec.basis.levels))]

    def answers(self, photo: Photo) -> tuple[list[list[str]], list[int]]:
        """([1 + levels][questions] texts, [levels] bytes of a view)."""
        views = self._eyes.encode_views(load_photo(photo.path).pixels)
        coded = [codec.encode(join_views(views)) for codec in self.codecs]
        seen = [views, *(tuple(decode_views(one, Limits())) for one in coded)]
        sizes = [round(len(one.payload) / len(views)) for one in coded]
        return [self._said(one, [row.question for row in photo.rows]) for one in seen], sizes

    def _said(self, seen: Sequence[Embeddings], questions: Sequence[str]) -> list[str]:
        made = []
        for question in questions:
            tokens = self._mind.stream(tuple(seen), question, max_new_tokens=MAX_NEW_TOKENS)
            made.append("".join(token.text for token in tokens).strip())
        return made


def measured(limit: int) -> dict[str, Any]:
    """The document that is shipped, of at most `limit` photos."""
    measuring, chosen = Measuring(), fitted()
    chosen = [chosen[at] for at in np.linspace(0, len(chosen) - 1, min(limit, len(chosen))).astype(int)]
    said: list[list[str]] = [[] for _ in range(1 + len(measuring.codecs))]
    truth, about, sizes = list[str](), list[int](), list[list[int]]()
    for number, photo in enumerate(chosen):
        given, size = measuring.answers(photo)
        for texts, more in zip(said, given, strict=True):
            texts += more
        truth += [row.answer for row in photo.rows]
        about += [number] * len(photo.rows)
        sizes.append(size)
    exact, levels = said[0], said[1:]
    changed = np.array([[one != other for one, other in zip(level, exact, strict=True)] for level in levels])
    a_change = lost_by_a_change(levels, exact, truth, about)
    return {
        "version": 1,
        "basis_id": measuring.basis_id,
        "levels": [
            {"view_bytes": round(mean), "changed": round(share, 5), "lost": round(share * a_change, 5)}
            for mean, share in zip(np.mean(sizes, axis=0), changed.mean(axis=1), strict=True)
        ],
        "lost_by_a_changed_answer": round(a_change, 4),
        "photos": len(chosen),
        "questions": len(truth),
        "made_by": "python -m tools.measure_levels",
    }


def lost_by_a_change(
    levels: Sequence[Sequence[str]], exact: Sequence[str], truth: Sequence[str], photo: Sequence[int]
) -> float:
    """Right answers that a changed answer loses, a mean over all levels, but never less than its standard error over
    photos: a loss that is too small to be seen in so many answers is not none, and the coarsest level not free.

    `photo` [questions]: which photo each question is about.
    """
    right = np.array([is_right(text, wanted) for text, wanted in zip(exact, truth, strict=True)], dtype=np.float64)
    lost, changed = np.zeros(1 + max(photo)), np.zeros(1 + max(photo))
    for level in levels:
        now = np.array([is_right(text, wanted) for text, wanted in zip(level, truth, strict=True)], dtype=np.float64)
        other = np.array([one != before for one, before in zip(level, exact, strict=True)], dtype=np.float64)
        np.add.at(lost, photo, (right - now) * other)
        np.add.at(changed, photo, other)
    if not changed.any():
        return 0.0
    mean = lost.sum() / changed.sum()
    error = np.sqrt(np.square(lost - mean * changed).sum()) / changed.sum()  # of a ratio, photos drawn
    return float(max(mean, error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=300, help="photos")
    parser.add_argument("--report", action="store_true", help="write nothing")
    wanted = parser.parse_args()
    text = json.dumps(measured(wanted.limit), indent=1)
    print(text)
    if not wanted.report:
        OUT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
