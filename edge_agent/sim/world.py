"""What happens to a scenario under one seed, whatever the policy: links, arrivals, questions; and the questions' facts.

A seed draws the same world for every policy, so that policies are compared in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InputError
from edge_agent.sim.arrivals import arrival_times
from edge_agent.sim.scenario import Scenario, TableSpec
from edge_agent.sim.table import MeasuredTable, Node
from edge_agent.sim.table_file import read_table, shipped_table
from edge_agent.sim.traces import Trace, make_trace
from edge_agent.summary import empty_tiles, text_features
from edge_agent.types import Generation, ModalityFeatures

SHUFFLES = 20_260  # seeds the order of the questions
DEVICE_PART = 0.5  # of a cloud turn's overhead beyond the stages: both sides code and check the same frames
DRAIN_S = 900.0  # a link is drawn for so long after the last arrival


@dataclass(frozen=True, slots=True)
class Side:
    """What one node does with one question; milliseconds on the machine of the table."""

    right: bool
    encode_ms: float
    code_ms: float
    prefill_ms: float
    decode_ms: float
    bytes_up: int
    bytes_down: int
    end: Generation

    @property
    def service_ms(self) -> float:
        """Of the decoder, from prompt to last token, the picture being new to it."""
        return self.prefill_ms + self.decode_ms


@dataclass(frozen=True, slots=True)
class Question:
    """What is known of a question: what a policy is told, and what either node does with it; the cloud once with all
    views of the picture, once with its `overview`. `photo`: of the table.
    """

    photo: int
    features: ModalityFeatures
    edge: Side
    cloud: Side
    overview: Side


@dataclass(frozen=True, slots=True)
class Asked:
    """One arrival at a device."""

    at_s: float
    row: int
    private: bool


@dataclass(frozen=True, slots=True)
class World:
    """One seed's draw: per device a link and its arrivals in order."""

    traces: tuple[Trace, ...]
    asked: tuple[tuple[Asked, ...], ...]


class Questions:
    """The questions of a scenario, made once and kept: `rows` are those that are drawn from."""

    def __init__(self, table: MeasuredTable, spec: TableSpec, empty_below_bits: float) -> None:
        self.edge_node, self.cloud_node = (_node(table, name) for name in (spec.edge, spec.cloud))
        if (self.edge_node.place, self.cloud_node.place) != ("edge", "cloud"):
            raise InputError(f"{spec.edge} and {spec.cloud} are not a device and a cloud", "see [table] edge and cloud")
        self.overview_node = _node(table, spec.overview) if spec.overview else self.cloud_node
        if self.overview_node.place != "cloud":
            raise InputError(f"{spec.overview} is not a cloud", "see [table] overview")
        self._table = table
        self._below_bits = empty_below_bits
        self._made: dict[int, Question] = {}
        self.photos = len(table.photos.name)
        self.rows = _rows(table, spec)
        self.view_bytes = round(float(np.median(table.columns[spec.cloud].bytes_up[self.rows])))

    def __getitem__(self, row: int) -> Question:
        found = self._made.get(row)
        if found is None:
            found = self._made[row] = self._make(row)
        return found

    def beyond_ms(self, node: Node, again: bool) -> tuple[float, float]:
        """Of a cloud turn, what it takes beyond its stages and the device's own overhead: (the device's part, the
        cloud's). `again`: a further question about the picture that the cloud holds.
        """
        more_ms = max(0.0, node.beyond_ms(again) - self.edge_node.beyond_ms(again))
        return DEVICE_PART * more_ms, (1.0 - DEVICE_PART) * more_ms

    def _make(self, row: int) -> Question:
        features = self._table.features(row)
        assert features.image is not None
        empty = empty_tiles(features.image.tile_entropy_bits, self._below_bits)
        features = replace(features, image=replace(features.image, empty=empty), text=text_features(features.question))
        nodes = self.edge_node, self.cloud_node, self.overview_node
        return Question(int(self._table.photo[row]), features, *(self._side(node.name, row) for node in nodes))

    def _side(self, name: str, row: int) -> Side:
        c = self._table.columns[name]
        edge = self._table.nodes[name].place == "edge"
        end = Generation(
            text=self._table.answers[int(c.answer[row])],
            confidence=float(c.confidence[row]),
            max_entropy=float(c.entropy[row]),
            tokens=int(c.tokens[row]),
            expected_gain=float(c.gain[row]) if edge else None,
        )
        return Side(
            right=bool(c.right[row]),
            encode_ms=float(c.encode_ms[row]),
            code_ms=float(c.code_ms[row]),
            prefill_ms=float(c.prefill_ms[row]),
            decode_ms=float(c.decode_ms[row]),
            bytes_up=int(c.bytes_up[row]),
            bytes_down=int(c.bytes_down[row]),
            end=end,
        )


def draw(scenario: Scenario, questions: Questions, seed: int) -> World:
    """The world of one seed. Links, arrivals and questions have random numbers of their own, device by device.

    Seeds in a row go on in one shuffled order of the questions: none is asked again before all were, whatever the link
    and the load, so that twenty seeds ask each about equally often.
    """
    count, device = scenario.device.count, scenario.device
    each = [scenario.arrivals.questions // count + (at < scenario.arrivals.questions % count) for at in range(count)]
    traces, asked, begins = [], [], seed * scenario.arrivals.questions
    for at, share in enumerate(each):
        when, labels, links = (np.random.default_rng([seed, at, part]) for part in range(3))
        times = arrival_times(scenario.arrivals, share, when) if share else np.zeros(0)
        rows = _drawn(questions.rows, begins, share)
        begins += share
        private = labels.random(share) < device.private_share
        until_s = (float(times[-1]) if share else 0.0) + DRAIN_S
        traces.append(make_trace(scenario.link, scenario.folder, until_s, links))
        asked.append(tuple(map(Asked, times.tolist(), rows.tolist(), private.tolist())))
    return World(tuple(traces), tuple(asked))


@lru_cache(maxsize=4)
def open_table(file: str) -> MeasuredTable:
    """The table of that path, or the shipped one. Raises InputError."""
    from pathlib import Path

    return read_table(Path(file)) if file else shipped_table()


def _drawn(rows: NDArray[np.int64], begins: int, count: int) -> NDArray[np.int64]:
    """Questions `begins` to `begins + count` of an endless order, in which each round asks all, shuffled anew."""
    size = len(rows)
    first, last = begins // size, (begins + count) // size
    rounds = [np.random.default_rng([SHUFFLES, at]).permutation(rows) for at in range(first, last + 1)]
    return np.asarray(np.concatenate(rounds)[begins - first * size :][:count])


def _rows(table: MeasuredTable, spec: TableSpec) -> NDArray[np.int64]:
    rows = table.judged() if spec.split == "judged" else table.rows()
    if spec.split == "fitted":
        rows = np.setdiff1d(rows, table.judged())
    if spec.source:
        if spec.source not in table.sources:
            raise InputError(f"the table has no source {spec.source!r:.40}", f"it has {', '.join(table.sources)}")
        rows = rows[table.photos.source[table.photo[rows]] == table.sources.index(spec.source)]
    if not len(rows):
        raise InputError("no question of the table is left to ask", "see [table] split and source")
    return np.asarray(rows)


def _node(table: MeasuredTable, name: str) -> Node:
    if name not in table.nodes:
        raise InputError(f"the table has no node {name!r:.40}", f"it has {', '.join(table.nodes)}")
    return table.nodes[name]
