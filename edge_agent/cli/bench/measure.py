"""Times alternatives in turn in one thread by its CPU clock; medians, and ratios pair by pair with their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.random  # noqa: F401 - now: its first import swallows a Ctrl-C, and would come between two rows

Call = Callable[[int], Any]
Clock = Callable[[], int]

MIN_TIMING_NS = 200_000
SLOW_NS = 50_000_000
SLOW_ROUNDS = 3
THREADS_SUSPECTED = 1.3
WARM_CALLS = 2  # as many as inputs take turns: after one alone, the timed call would be the first on its input


def whole(result: Any) -> Mapping[str, Any]:
    """Reads a result that is one value."""
    return {"value": result}


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a piece of work.

    `call(i)` does it once, on the i-th input; `read` names what came out, so that a test can hold it against ours.
    `units`: pieces of work that one call does; times are for one of them. `work`: "same", or "less: ..." or "other:
    ..." for what it leaves out or does differently. `package`: the distribution whose version counts.
    """

    name: str
    package: str
    call: Call
    read: Callable[[Any], Mapping[str, Any]] = whole
    work: str = "same"
    units: int = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one contender, microseconds a unit, one a round. `ratios` are its times / ours, round by round."""

    name: str
    us: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    more_threads: bool = False

    @property
    def median_us(self) -> float:
        return statistics.median(self.us)

    @property
    def spread_pct(self) -> float:
        return spread_pct(self.us)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


@dataclass(slots=True)
class _Lane:
    """A contender while it is measured: in how many rounds, and how often a timing repeats it."""

    contender: Contender
    repeats: int
    rounds: int
    more_threads: bool
    us: list[float] = field(default_factory=list)


def spread_pct(values: Sequence[float]) -> float:
    """The interquartile range in percent of the median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return 100 * (high - low) / middle if middle else 0.0


def compare(
    ours: Contender,
    peers: Sequence[Contender],
    rounds: int,
    *,
    warm: bool = True,
    clock: Clock = time.thread_time_ns,
    process_clock: Clock = time.process_time_ns,
) -> tuple[Timing, list[Timing]]:
    """Times ours and the peers, one after the other, `rounds` times.

    A timing repeats a call until about 200 us have passed. `warm`: each timing follows an untimed call on each of the
    two inputs. Who takes
    over 50 ms a call is timed in the first 3 rounds only. `process_clock` tells who computes in other threads, whose
    time `clock` does not see. All count through the same inputs, so that nobody finds one that another has just read.
    """
    lanes = [_prepared(contender, rounds, clock, process_clock) for contender in (ours, *peers)]
    first_input = 0
    for turn in range(rounds):
        for lane in lanes:
            if turn < lane.rounds:
                lane.us.append(_timed(lane, first_input, warm, clock))
                first_input += lane.repeats + WARM_CALLS * warm
    first, *others = lanes
    return _result(first, ()), [
        _result(lane, tuple(theirs / mine for theirs, mine in zip(lane.us, first.us, strict=False) if mine))
        for lane in others
    ]


def _prepared(contender: Contender, rounds: int, clock: Clock, process_clock: Clock) -> _Lane:
    """Calls twice: once for what is made at the first call, once to see how long it takes and in how many threads."""
    contender.call(0)
    process_began, began = process_clock(), clock()
    contender.call(1)
    taken, process_taken = clock() - began, process_clock() - process_began
    more_threads = taken > MIN_TIMING_NS and process_taken > THREADS_SUSPECTED * taken
    repeats = max(1, -(-MIN_TIMING_NS // max(1, taken)))
    return _Lane(contender, repeats, min(rounds, SLOW_ROUNDS) if taken > SLOW_NS else rounds, more_threads)


def _timed(lane: _Lane, first: int, warm: bool, clock: Clock) -> float:
    """Microseconds a unit of work of one timing, from input `first` on."""
    call = lane.contender.call
    if warm:
        for index in range(first, first + WARM_CALLS):
            call(index)
        first += WARM_CALLS
    indices = range(first, first + lane.repeats)
    began = clock()
    for index in indices:
        call(index)
    taken = clock() - began
    return taken / 1e3 / (lane.repeats * lane.contender.units)


def _result(lane: _Lane, ratios: tuple[float, ...]) -> Timing:
    return Timing(lane.contender.name, tuple(lane.us), ratios, lane.more_threads)
