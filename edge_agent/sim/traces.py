"""Links over time: uplink and round trip, generated from named parameters or read from a small CSV file.

Uplinks of 5G and 4G: 31.27 Mbit/s and that over 1.55, means of a survey of 331 places in 51 countries (SmartCIC,
March to May 2022). That few mobile clients see round trips below 20 ms: arXiv 2507.18834. The other numbers are
assumptions of the usual order, ours: spreads, coherence, Wi-Fi, cable, and `4g-weak`, the edge of a cell. `loopback` is
one machine: nothing is waited for.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InputError
from edge_agent.sim.scenario import LinkSpec

F64 = NDArray[np.float64]
MAX_TRACE_ROWS = 1_000_000
MAX_TRACE_BYTES = 64 << 20
COLUMNS = ("time_s", "uplink_mbps", "rtt_ms")
LARGEST_MBPS, LARGEST_RTT_MS = 1e6, 60_000.0
STEP_S = 1.0
MEMORY = 0.9  # of a second's uplink in the next one's, as logarithms
HINT = f"a link trace is CSV with the columns {','.join(COLUMNS)}"


@dataclass(frozen=True, slots=True)
class LinkKind:
    """`mbps` and `rtt_ms` are means; `spread` the standard deviation of the uplink's logarithm; `jitter_ms` mean of
    what a round trip takes longer.
    """

    mbps: float
    spread: float
    rtt_ms: float
    jitter_ms: float


KINDS = {
    "wired": LinkKind(50.0, 0.05, 10.0, 1.0),
    "wifi": LinkKind(30.0, 0.4, 15.0, 5.0),
    "5g": LinkKind(31.27, 0.6, 35.0, 8.0),
    "4g": LinkKind(31.27 / 1.55, 0.6, 55.0, 15.0),
    "4g-weak": LinkKind(1.5, 0.6, 90.0, 30.0),
    "loopback": LinkKind(10_000.0, 0.0, 0.0, 0.0),
}


class Trace:
    """A link: piecewise constant, the last piece for ever. An uplink of 0 is an interruption."""

    def __init__(self, start_s: F64, mbps: F64, rtt_ms: F64) -> None:
        """`start_s` [S] rises from 0; `mbps` [S] >= 0; `rtt_ms` [S] >= 0."""
        sent = np.concatenate([[0.0], np.cumsum(np.diff(start_s) * mbps[:-1] * 1e6)])
        self._start_s: list[float] = start_s.tolist()
        self._mbps: list[float] = mbps.tolist()
        self._rtt_ms: list[float] = rtt_ms.tolist()
        self._sent: list[float] = sent.tolist()  # bits that could have been sent until a piece begins

    def at(self, now_s: float) -> tuple[float, float]:
        """(Mbit/s, milliseconds of a round trip) of a moment."""
        piece = max(0, bisect_right(self._start_s, now_s) - 1)
        return self._mbps[piece], self._rtt_ms[piece]

    def sent_by(self, now_s: float, size_bytes: float) -> float:
        """When so many bytes are through that begin now; infinity if never."""
        piece = max(0, bisect_right(self._start_s, now_s) - 1)
        goal = self._sent[piece] + (now_s - self._start_s[piece]) * self._mbps[piece] * 1e6 + 8.0 * size_bytes
        last = bisect_right(self._sent, goal) - 1
        if last < piece:
            last = piece
        while last > piece and self._sent[last] == goal:  # through as soon as the bits are, not when a pause ends
            last -= 1
        rate = self._mbps[last] * 1e6
        if rate <= 0.0:
            return now_s if size_bytes <= 0 else math.inf
        return max(now_s, self._start_s[last] + (goal - self._sent[last]) / rate)

    def up_again_s(self, now_s: float) -> float:
        """The first moment from now on at which the link is not interrupted; infinity if none."""
        piece = max(0, bisect_right(self._start_s, now_s) - 1)
        if self._mbps[piece] > 0:
            return now_s
        for later in range(piece + 1, len(self._mbps)):
            if self._mbps[later] > 0:
                return self._start_s[later]
        return math.inf


def make_trace(spec: LinkSpec, folder: Path, until_s: float, random: np.random.Generator) -> Trace:
    """A link of that kind until a moment. Raises InputError for a file that does not fit."""
    if spec.kind == "file":
        start_s, mbps, rtt_ms = _repeated(*read_trace(folder / spec.file), until_s)
    else:
        start_s, mbps, rtt_ms = _generated(KINDS[spec.kind], until_s, random)
    mbps = mbps * spec.scale
    for every_s, length_s in ((spec.outage_every_s, spec.outage_s), (spec.handover_every_s, spec.handover_s)):
        if every_s > 0:
            start_s, mbps, rtt_ms = _interrupted(start_s, mbps, rtt_ms, every_s, length_s, until_s, random)
    return Trace(start_s, mbps, rtt_ms)


def read_trace(path: Path) -> tuple[F64, F64, F64]:
    """(time_s, uplink_mbps, rtt_ms) of a file. Raises InputError with file, line and reason."""
    try:
        if path.stat().st_size > MAX_TRACE_BYTES:
            raise InputError(f"{path} is larger than {MAX_TRACE_BYTES} bytes", HINT)
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}", HINT) from error
    header = [name.strip() for name in rows[0]] if rows else []
    for name in COLUMNS:
        if name not in header:
            stem = name.rpartition("_")[0]
            other = next((h for h in header if h.rpartition("_")[0] == stem), None)
            words = f"the column {other!r} has a wrong unit" if other else f"the column {name} is missing"
            raise InputError(f"{path}:1: {words}", HINT)
    if not 2 <= len(rows) <= MAX_TRACE_ROWS:
        raise InputError(f"{path}: {len(rows) - 1} rows", f"1 to {MAX_TRACE_ROWS - 1} are read")
    at = [header.index(name) for name in COLUMNS]
    values = [_row(path, number, row, at) for number, row in enumerate(rows[1:], 2) if row]
    for number, (earlier, later) in enumerate(pairwise(values), 3):
        if later[0] <= earlier[0]:
            raise InputError(f"{path}:{number}: time runs backwards, {later[0]:g} after {earlier[0]:g}", HINT)
    found = np.array(values)
    return found[:, 0] - found[0, 0], found[:, 1], found[:, 2]


def _row(path: Path, number: int, row: list[str], at: list[int]) -> tuple[float, ...]:
    try:
        values = tuple(float(row[i]) for i in at)
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}:{number}: not {len(at)} numbers: {','.join(row)[:80]!r}", HINT) from error
    for name, value, most in zip(COLUMNS, values, (1e9, LARGEST_MBPS, LARGEST_RTT_MS), strict=True):
        if not (math.isfinite(value) and 0.0 <= value <= most):
            raise InputError(
                f"{path}:{number}: {name} is {value}", f"a number from 0 to {most:g}; 0 Mbit/s: interrupted"
            )
    return values


def _generated(kind: LinkKind, until_s: float, random: np.random.Generator) -> tuple[F64, F64, F64]:
    """A value a second: the uplink's logarithm wanders back to its mean, round trips vary independently."""
    steps = max(2, int(until_s / STEP_S) + 2)
    noise = random.standard_normal(steps) * kind.spread * math.sqrt(1.0 - MEMORY * MEMORY)
    level, levels = float(random.standard_normal()) * kind.spread, []
    for step in noise.tolist():
        level = MEMORY * level + step
        levels.append(level)
    mbps = kind.mbps * np.exp(np.array(levels) - 0.5 * kind.spread**2)
    rtt_ms = kind.rtt_ms - kind.jitter_ms + random.exponential(kind.jitter_ms, steps)
    return (
        np.asarray(np.arange(steps) * STEP_S, dtype=np.float64),
        np.asarray(mbps),
        np.asarray(rtt_ms, dtype=np.float64),
    )


def _repeated(start_s: F64, mbps: F64, rtt_ms: F64, until_s: float) -> tuple[F64, F64, F64]:
    if len(start_s) < 2:
        return start_s, mbps, rtt_ms
    length_s = float(start_s[-1] + (start_s[-1] - start_s[-2]))
    times = min(int(until_s / length_s) + 1, MAX_TRACE_ROWS // len(start_s) + 1)
    shifted = np.concatenate([start_s + at * length_s for at in range(times)])
    return np.asarray(shifted), np.tile(mbps, times), np.tile(rtt_ms, times)


def _interrupted(
    start_s: F64, mbps: F64, rtt_ms: F64, every_s: float, length_s: float, until_s: float, random: np.random.Generator
) -> tuple[F64, F64, F64]:
    """The same with pauses, exponentially far apart and long."""
    cuts: list[tuple[float, float]] = []
    now_s = float(random.exponential(every_s))
    while now_s < until_s and len(cuts) < MAX_TRACE_ROWS:
        ends_s = now_s + float(random.exponential(length_s))
        cuts.append((now_s, ends_s))
        now_s = ends_s + float(random.exponential(every_s))
    edges = np.unique(np.concatenate([start_s, *[np.array(cut) for cut in cuts]]))
    piece = np.searchsorted(start_s, edges, side="right") - 1
    cut_mbps = mbps[piece].copy()
    for begins_s, ends_s in cuts:
        cut_mbps[np.searchsorted(edges, begins_s) : np.searchsorted(edges, ends_s)] = 0.0
    return edges, cut_mbps, rtt_ms[piece]
