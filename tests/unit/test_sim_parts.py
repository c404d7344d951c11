"""The parts of the simulator: time, links, arrivals, boards and clouds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import InputError
from edge_agent.sim.arrivals import arrival_times
from edge_agent.sim.events import Events, Reply, resume
from edge_agent.sim.nodes import Board, CloudNode
from edge_agent.sim.scenario import ArrivalSpec, CloudSpec, DeviceSpec, LinkSpec
from edge_agent.sim.traces import KINDS, Trace, make_trace, read_trace


def test_things_happen_in_order_of_time_and_ties_in_the_order_they_were_put_in() -> None:
    events, seen = Events(), list[str]()
    for time_s, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        events.at(time_s, lambda name=name: seen.append(name))
    events.run()
    assert seen == ["a", "b", "c"]


def test_nothing_can_be_put_at_a_time_that_never_comes() -> None:
    for never in (math.nan, math.inf):
        with pytest.raises(ValueError, match="nothing can happen"):
            Events().at(never, lambda: None)


def test_a_reply_is_taken_once() -> None:
    events, got = Events(), list[object]()
    reply = Reply(events)

    def process():
        got.append((yield reply))

    resume(events, process())
    assert reply.give("first")
    assert not reply.give("second")
    assert got == ["first"]


def steps(*pieces: tuple[float, float]) -> Trace:
    start_s, mbps = zip(*pieces, strict=True)
    return Trace(np.array(start_s), np.array(mbps), np.full(len(pieces), 10.0))


def test_bytes_are_through_when_the_pieces_of_the_link_have_carried_them() -> None:
    link = steps((0.0, 8.0), (1.0, 0.0), (3.0, 4.0))  # 1 MB/s, a pause of two seconds, 0.5 MB/s
    assert link.sent_by(0.0, 500_000) == pytest.approx(0.5)
    assert link.sent_by(0.0, 1_000_000) == pytest.approx(1.0)
    assert link.sent_by(0.5, 1_000_000) == pytest.approx(4.0)
    assert link.sent_by(2.0, 500_000) == pytest.approx(4.0)
    assert link.up_again_s(1.5) == 3.0
    assert link.up_again_s(0.5) == 0.5


def test_nothing_gets_through_a_link_that_stays_down() -> None:
    link = steps((0.0, 8.0), (1.0, 0.0))
    assert link.sent_by(0.9, 1_000_000) == math.inf
    assert link.up_again_s(2.0) == math.inf


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_generated_link_has_the_mean_uplink_of_its_kind(kind: str) -> None:
    found = [
        make_trace(LinkSpec(kind=kind), Path(), 3000.0, np.random.default_rng(seed)).sent_by(
            0.0, KINDS[kind].mbps * 1e6 / 8 * 2000
        )
        for seed in range(5)
    ]
    assert np.mean(found) == pytest.approx(2000.0, rel=0.2)


def test_outages_take_their_share_of_the_time() -> None:
    spec = LinkSpec(kind="wired", outage_every_s=80.0, outage_s=20.0)
    link = make_trace(spec, Path(), 40_000.0, np.random.default_rng(1))
    down = np.mean([link.at(t)[0] == 0.0 for t in np.arange(0, 40_000, 1.5)])
    assert 0.12 < down < 0.28


def test_a_trace_file_is_read_and_repeated(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("rtt_ms,time_s,uplink_mbps\n10,100,8\n20,101,0\n", encoding="utf-8")
    link = make_trace(LinkSpec(kind="file", file="t.csv"), tmp_path, 10.0, np.random.default_rng(0))
    assert [link.at(t) for t in (0.5, 1.5, 2.5, 3.5)] == [(8.0, 10.0), (0.0, 20.0)] * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r":1: the column time_s is missing"),
        ("time_s,rtt_ms\n0,1\n", r":1: the column uplink_mbps is missing"),
        ("time_s,uplink_kbps,rtt_ms\n0,1,1\n", r":1: the column 'uplink_kbps' has a wrong unit"),
        ("time_s,uplink_mbps,rtt_ms\n0,1,1\n1,nan,1\n", r":3: uplink_mbps is nan"),
        ("time_s,uplink_mbps,rtt_ms\n0,-1,1\n", r":2: uplink_mbps is -1"),
        ("time_s,uplink_mbps,rtt_ms\n5,1,1\n4,1,1\n", r":3: time runs backwards, 4 after 5"),
        ("time_s,uplink_mbps,rtt_ms\n0,1\n", r":2: not 3 numbers"),
        ("time_s,uplink_mbps,rtt_ms\n", r": 0 rows"),
    ],
)
def test_a_trace_that_does_not_fit_is_refused_with_file_line_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"t\.csv" + reason):
        read_trace(path)


@pytest.mark.parametrize("kind", ["steady", "bursty", "diurnal"])
def test_arrivals_rise_at_the_mean_rate_that_was_asked_for(kind: str) -> None:
    spec = ArrivalSpec(kind=kind, per_minute=60.0)
    times = [arrival_times(spec, 6000, np.random.default_rng(seed)) for seed in range(4)]
    assert all((np.diff(t) >= 0).all() and t[0] >= 0 for t in times)
    assert np.mean([t[-1] for t in times]) == pytest.approx(6000.0, rel=0.15)


def test_bursts_are_burstier_than_a_steady_stream() -> None:
    gaps = {
        kind: np.diff(arrival_times(ArrivalSpec(kind=kind), 3000, np.random.default_rng(0)))
        for kind in ("steady", "bursty")
    }
    assert gaps["bursty"].std() / gaps["bursty"].mean() > 1.5 * gaps["steady"].std() / gaps["steady"].mean()


def test_a_board_works_first_come_first_served_and_slower_than_the_table() -> None:
    board = Board(DeviceSpec(slowdown=2.0))
    assert board.compute(0.0, 500.0) == pytest.approx(1.0)
    assert board.compute(0.5, 250.0) == pytest.approx(1.5)
    assert board.compute(5.0, 250.0) == pytest.approx(5.5)


def test_a_board_under_load_gets_hot_slows_down_and_cools_again() -> None:
    board = Board(DeviceSpec(busy_w=10.0, idle_w=1.0, celsius_per_w=7.0, heat_s=10.0, hot_slowdown=3.0))
    now_s = 0.0
    for _ in range(200):
        now_s = board.compute(now_s, 1000.0)
    assert board.celsius > 85.0
    assert board.hot_factor == 3.0
    board.load(now_s + 100.0)
    assert board.hot_factor == 1.0


def test_a_battery_runs_empty_by_idling_and_sooner_by_working() -> None:
    spec = DeviceSpec(battery_wh=1.0, idle_w=3.6, busy_w=7.2)
    assert Board(spec).alive(999.0)
    assert not Board(spec).alive(1001.0)
    working = Board(spec)
    working.compute(0.0, 400_000.0)
    assert working.alive(599.0)
    assert not working.alive(601.0)


def answers(spec: CloudSpec, count: int) -> list[float | None]:
    """When each of `count` questions of one second, asked at once, is answered; None where it was refused."""
    events, found = Events(), list[float | None]()
    cloud = CloudNode(spec, events)

    def one(at: int):
        reply = Reply(events)
        if cloud.ask(1000.0, reply):
            yield reply
            found[at] = events.now_s

    for at in range(count):
        found.append(None)
        resume(events, one(at))
    events.run()
    return found


def test_a_cloud_answers_as_many_at_a_time_as_it_has_workers() -> None:
    assert answers(CloudSpec(workers=2), 4) == [1.0, 1.0, 2.0, 2.0]


def test_a_batch_is_cheaper_than_its_questions_and_answered_as_a_whole() -> None:
    assert answers(CloudSpec(batch=3, batch_cost=0.5), 4) == [1.0, 3.0, 3.0, 3.0]


def test_a_full_queue_refuses() -> None:
    assert answers(replace(CloudSpec(), queue=1), 3) == [1.0, 2.0, None]
