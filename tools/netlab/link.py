"""What a link does to what is sent over it: rate, delay, jitter, loss, cuts, and how they change. No I/O, no clock."""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUEUE_S = 0.25
"""A packet that would wait longer than this for the ones before it is dropped, as a full router does."""
SEGMENT_BYTES = 1448
LEAST_TIMEOUT_S = 0.2  # Linux: TCP_RTO_MIN
MAX_TRACE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Conditions:
    """One state of a link. Rates in Mbit/s; half of `rtt_ms` each way, and up to `jitter_ms` more; `loss` 0..1 of the
    packets, each way. `cut`: nothing passes.
    """

    up_mbit: float
    down_mbit: float
    rtt_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    cut: bool = False

    def __post_init__(self) -> None:
        if not (self.up_mbit > 0 and self.down_mbit > 0):
            raise ValueError("a rate is not above 0 Mbit/s; a link that is down is a cut")
        if not (self.rtt_ms >= 0 and self.jitter_ms >= 0 and 0 <= self.loss < 1):
            raise ValueError("a link has rtt_ms and jitter_ms of 0 or more, and a loss of 0 to below 1")

    def bytes_per_s(self, up: bool) -> float:
        """Of one direction."""
        return (self.up_mbit if up else self.down_mbit) * 1e6 / 8


@dataclass(frozen=True, slots=True)
class Trace:
    """How a link changes: `steps` are (seconds, state from then on), the first at 0. After `period_s` it starts again;
    0: the last state stays.
    """

    steps: tuple[tuple[float, Conditions], ...]
    period_s: float = 0.0

    def __post_init__(self) -> None:
        times = [at for at, _ in self.steps]
        if not times or times[0] != 0 or times != sorted(set(times)):
            raise ValueError("the steps of a trace begin at 0 and ascend")
        if self.period_s and self.period_s <= times[-1]:
            raise ValueError("a trace starts again before its last step")

    def at(self, seconds: float) -> Conditions:
        """The state so long after the start."""
        if self.period_s:
            seconds %= self.period_s
        return self.steps[bisect_right([at for at, _ in self.steps], seconds) - 1][1]


def steady(conditions: Conditions, cuts: Sequence[tuple[float, float]] = ()) -> Trace:
    """Always the same, but for `cuts` of (begin, length) in seconds, which ascend and do not overlap."""
    steps = [(0.0, conditions)]
    down = Conditions(conditions.up_mbit, conditions.down_mbit, conditions.rtt_ms, conditions.jitter_ms, cut=True)
    for begin, length in cuts:
        steps += [(begin, down), (begin + length, conditions)]
    return Trace(tuple(steps[1:] if len(steps) > 1 and steps[1][0] == 0 else steps))


def read_trace(path: Path) -> Trace:
    """A handover trace: lines of {"at_s","up_mbit","down_mbit","rtt_ms","jitter_ms","loss","cut"}; the last one may be
    {"again_s"}, from when on it is repeated. Raises ValueError with the line.
    """
    if path.stat().st_size > MAX_TRACE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_TRACE_BYTES} bytes")
    steps: list[tuple[float, Conditions]] = []
    period_s = 0.0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row: dict[str, Any] = json.loads(line)
            if "again_s" in row:
                period_s = float(row["again_s"])
            else:
                steps.append((float(row.pop("at_s")), Conditions(**row)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{number}: no step of a trace ({error})") from error
    return Trace(tuple(steps), period_s)


class Pipe:
    """One direction of a link: a queue in front of a line. Times are seconds of any one clock."""

    def __init__(self, up: bool, seed: int) -> None:
        self._up = up
        self._random = random.Random(seed)
        self._free_s = 0.0
        self._last_s = 0.0

    def packet(self, now_s: float, size_bytes: int, link: Conditions) -> float | None:
        """When a packet sent now arrives; None where it is lost, or finds the queue full. None overtakes another."""
        if link.cut or self._free_s - now_s > QUEUE_S:
            return None
        arrives_s = self._line(now_s, size_bytes, link)
        return None if self._random.random() < link.loss else arrives_s

    def stream(self, now_s: float, size_bytes: int, link: Conditions) -> tuple[float, float]:
        """For bytes of one TCP connection that never sees a loss itself: when the line is free again, and when these
        arrive. A lost segment costs what its retransmission takes: a round trip where three later ones tell of it,
        else a timeout; the ones behind it wait for it.
        """
        segments = -(-size_bytes // SEGMENT_BYTES)
        arrives_s = self._line(now_s, size_bytes, link)
        lost_s = 0.0
        for left in range(segments - 1, -1, -1):
            if self._random.random() < link.loss:
                rtt_s = link.rtt_ms / 1000
                lost_s = max(lost_s, rtt_s if left >= 3 else max(LEAST_TIMEOUT_S, 2 * rtt_s))
        self._last_s = arrives_s + lost_s
        return self._free_s, self._last_s

    def _line(self, now_s: float, size_bytes: int, link: Conditions) -> float:
        self._free_s = max(now_s, self._free_s) + size_bytes / link.bytes_per_s(self._up)
        delay_s = (link.rtt_ms / 2 + self._random.uniform(0, link.jitter_ms)) / 1000
        self._last_s = max(self._last_s, self._free_s + delay_s)
        return self._last_s
