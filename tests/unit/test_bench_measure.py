"""The arithmetic of the benchmarks, with a clock that the contenders themselves move."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.cli.bench.measure import SLOW_NS, SLOW_ROUNDS, Contender, compare, spread_pct


class Work:
    """A clock, and contenders that move it by a known time and note the inputs that they were given."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.process_factor = 1
        self.process_ns = 0
        self.inputs: dict[str, list[int]] = {}

    def clock(self) -> int:
        return self.now_ns

    def process_clock(self) -> int:
        return self.process_ns

    def contender(self, name: str, *times_ns: int, units: int = 1, threads: int = 1) -> Contender:
        """Takes `times_ns` in turn, the last for ever."""
        left = list(times_ns)

        def call(index: int) -> None:
            taken = left.pop(0) if len(left) > 1 else left[0]
            self.now_ns += taken
            self.process_ns += taken * threads
            self.inputs.setdefault(name, []).append(index)

        return Contender(name, "none", call, units=units)

    def compare(self, ours: Contender, *peers: Contender, **options: Any) -> Any:
        options = {"rounds": 5, "warm": False} | options
        return compare(ours, peers, clock=self.clock, process_clock=self.process_clock, **options)


def test_a_ratio_is_the_time_of_the_peer_over_ours() -> None:
    work = Work()
    ours, (slow, fast) = work.compare(
        work.contender("ours", 400_000), work.contender("slow", 1_000_000), work.contender("fast", 200_000)
    )
    assert ours.median_us == 400
    assert (slow.median_us, slow.ratio) == (1000, 2.5)
    assert (fast.median_us, fast.ratio) == (200, 0.5)


def test_ratios_are_taken_pair_by_pair_and_the_median_of_them_counts() -> None:
    work = Work()
    warm_up = (1_000_000, 1_000_000)
    ours, (peer,) = work.compare(
        work.contender("ours", *warm_up, 1_000_000, 2_000_000, 4_000_000),
        work.contender("peer", *warm_up, 3_000_000, 4_000_000, 4_000_000),
        rounds=3,
    )
    assert peer.ratios == (3.0, 2.0, 1.0)
    assert peer.ratio == 2.0
    assert ours.us == (1000, 2000, 4000)


def test_small_work_is_repeated_within_one_timing() -> None:
    work = Work()
    ours, _ = work.compare(work.contender("ours", 1_000), rounds=3)
    assert ours.us == (1.0, 1.0, 1.0)
    assert len(work.inputs["ours"]) == 2 + 3 * 200


def test_a_call_that_does_several_units_is_timed_by_the_unit() -> None:
    work = Work()
    ours, _ = work.compare(work.contender("ours", 500_000, units=100))
    assert ours.median_us == 5.0


def test_nobody_is_given_the_inputs_of_another() -> None:
    work = Work()
    work.compare(work.contender("ours", 100_000), work.contender("peer", 60_000), rounds=4)
    measured = work.inputs["ours"][2:] + work.inputs["peer"][2:]
    assert sorted(measured) == list(range(4 * (2 + 4)))


def test_a_warm_timing_follows_calls_on_both_inputs_that_do_not_count() -> None:
    work = Work()
    warm_up = (300_000, 300_000)
    a_round = (900_000, 800_000, 300_000)
    ours, _ = work.compare(work.contender("ours", *warm_up, *a_round, *a_round), warm=True, rounds=2)
    assert ours.us == (300, 300)
    rounds = work.inputs["ours"][2:]
    assert rounds == list(range(6))
    for untimed, timed in ((rounds[0:2], rounds[2]), (rounds[3:5], rounds[5])):
        assert timed % 2 in {index % 2 for index in untimed}


def test_who_is_very_slow_is_timed_in_the_first_rounds_only() -> None:
    work = Work()
    ours, (peer,) = work.compare(work.contender("ours", 1_000_000), work.contender("peer", SLOW_NS + 1), rounds=9)
    assert len(ours.us) == 9
    assert len(peer.us) == len(peer.ratios) == SLOW_ROUNDS


def test_who_computes_in_other_threads_is_found_out() -> None:
    work = Work()
    ours, (peer,) = work.compare(
        work.contender("ours", 1_000_000), work.contender("peer", 1_000_000, threads=2), rounds=3
    )
    assert not ours.more_threads
    assert peer.more_threads


@pytest.mark.parametrize(
    ("values", "wanted"), [([5.0], 0.0), ([10.0] * 8, 0.0), ([8.0, 9.0, 10.0, 11.0, 12.0], 20.0), ([0.0, 0.0], 0.0)]
)
def test_spread_is_the_interquartile_range_in_percent(values: list[float], wanted: float) -> None:
    assert spread_pct(values) == pytest.approx(wanted)
