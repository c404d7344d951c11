"""The table of what real nodes did with real questions: the values that it holds, and how a question becomes features.

It is measured by `tools/measure_nodes.py`, read and written by `edge_agent.sim.table_file`, and knows no policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import ImageFeatures, ModalityFeatures

Column = NDArray[Any]
EDGE, CLOUD = "edge", "cloud"
UNSEEN, TRAINED_ON = 0, 1  # `split` of a photo: was it kept from the training of the pair?
FOLDS, JUDGED_FOLDS = 5, (0, 1)  # of unseen photos: predictors are fitted on the other folds
TILE_UNITS_PER_BIT = 31.875  # tile entropies are kept as uint8: 0..8 bits as 0..255


@dataclass(frozen=True, slots=True)
class Node:
    """One node profile: what was measured, on what, and what the device pays before a link is counted.

    `place` is edge or cloud; `views` how many views of a picture its decoder reads; `overhead_ms` what a whole question
    took in the running agent beyond the measured stages; `overhead_bytes_up/down` beyond the payload. Of a further
    question about the picture of the last prompt, `again_prefill` is the part of `prefill_ms` that it takes (1 where
    nothing is kept), and `again_overhead_ms` stands in for `overhead_ms` (-1: not measured, the same).
    """

    name: str
    place: str
    model: str
    version: str
    encoder_id: str
    precision: str
    threads: int
    views: int
    codec: str
    machine: str
    measured: str
    command: str
    repeats: int = 1
    overhead_ms: float = 0.0
    overhead_bytes_up: int = 0
    overhead_bytes_down: int = 0
    again_prefill: float = 1.0
    again_overhead_ms: float = -1.0

    def beyond_ms(self, again: bool) -> float:
        """What a question takes beyond its stages, or a further one `again` about the picture of the last prompt."""
        return self.again_overhead_ms if again and self.again_overhead_ms >= 0 else self.overhead_ms


@dataclass(frozen=True, slots=True)
class NodeColumns:
    """What one node did, a value a question, [N] each.

    `right` 0 or 1; `answer` index into the table's answers; `confidence`, `entropy` (largest of a token, over log of
    vocabulary) and `least_probability` (of a token) 0..1; `gain` -1..1 expected of asking the cloud (0: a cloud);
    `tokens`; milliseconds of compute on that node, the least of some repeats: `encode_ms` and `code_ms` always on the
    device, `prefill_ms` and `decode_ms` where the decoder runs; `bytes_up`, `bytes_down` of payload.
    """

    right: Column
    answer: Column
    confidence: Column
    entropy: Column
    least_probability: Column
    gain: Column
    tokens: Column
    encode_ms: Column
    code_ms: Column
    prefill_ms: Column
    decode_ms: Column
    bytes_up: Column
    bytes_down: Column

    @property
    def device_ms(self) -> Column:
        """Encoding and coding, which the device does for every node. [N] float64."""
        return np.asarray(self.encode_ms + self.code_ms, dtype=np.float64)

    @property
    def service_ms(self) -> Column:
        """The decoder's part, from prompt to last token. [N] float64."""
        return np.asarray(self.prefill_ms + self.decode_ms, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Photos:
    """The pictures, [P] each: `source` index into the table's sources, `split` UNSEEN or TRAINED_ON, the kernels'
    features; `tiles` holds the tile entropies of all, row by row, in 1/31.875 bits.
    """

    name: Column
    source: Column
    split: Column
    width: Column
    height: Column
    entropy_bits: Column
    edge_density: Column
    laplacian_variance: Column
    features_ms: Column
    tile_rows: Column
    tile_columns: Column
    tiles: Column


@dataclass(frozen=True)
class MeasuredTable:
    """N questions about P photos, and what each node did with them. `question` has its names and things masked.

    `identity` [N] int64 names a question for ever: 63 bits of the sha256 of source, photo and the whole question.
    """

    sources: tuple[str, ...]
    kinds: tuple[str, ...]
    answers: tuple[str, ...]
    photos: Photos
    identity: Column
    photo: Column
    question: Column
    kind: Column
    nodes: Mapping[str, Node]
    columns: Mapping[str, NodeColumns]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.identity)

    def features(self, index: int) -> ModalityFeatures:
        """What a policy would be told about question `index`."""
        return ModalityFeatures(image=self._images[int(self.photo[index])], question=str(self.question[index]))

    def rows(self, split: int = UNSEEN) -> NDArray[np.int64]:
        """The questions about photos of that split, in the table's order."""
        return np.flatnonzero(self.photos.split[self.photo] == split)

    def judged(self) -> NDArray[np.int64]:
        """[N] fold 0..count-1 of each question; all about one photo share one, whatever else the table holds."""
        rows = self.rows()
        return rows[np.isin(self.folds()[rows], JUDGED_FOLDS)]

    def folds(self, count: int = FOLDS) -> NDArray[np.int64]:
        """[N] fold 0..count-1 of each question; all about one photo are in one fold, whatever else the table holds."""
        names = [f"{self.sources[s]}/{n}" for s, n in zip(self.photos.source, self.photos.name, strict=True)]
        of_photo = np.array([_stable(name) % count for name in names], dtype=np.int64)
        return np.asarray(of_photo[self.photo])

    @cached_property
    def _images(self) -> list[ImageFeatures]:
        photos = self.photos
        sizes = photos.tile_rows.astype(np.int64) * photos.tile_columns
        ends = np.cumsum(sizes)
        return [
            ImageFeatures(
                width=int(photos.width[i]),
                height=int(photos.height[i]),
                entropy_bits=float(photos.entropy_bits[i]),
                tile_entropy_bits=(photos.tiles[ends[i] - sizes[i] : ends[i]] / np.float32(TILE_UNITS_PER_BIT))
                .astype(np.float32)
                .reshape(int(photos.tile_rows[i]), int(photos.tile_columns[i])),
                edge_density=float(photos.edge_density[i]),
                laplacian_variance=float(photos.laplacian_variance[i]),
            )
            for i in range(len(photos.name))
        ]


def _stable(text: str) -> int:
    """A number of a text that is the same on every machine and in every run (FNV-1a, 32 bits)."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value
