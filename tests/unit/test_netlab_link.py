"""The lab's link holds back what its rate, delay, queue, losses and cuts say, by a clock that the test owns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from tools.netlab.link import QUEUE_S, Conditions, Pipe, Trace, read_trace, steady

SLOW = Conditions(up_mbit=1.0, down_mbit=8.0, rtt_ms=100.0)


def test_a_packet_takes_its_time_on_the_line_and_half_a_round_trip() -> None:
    assert Pipe(True, 0).packet(5.0, 1250, SLOW) == pytest.approx(5.0 + 0.010 + 0.050)
    assert Pipe(False, 0).packet(5.0, 1250, SLOW) == pytest.approx(5.0 + 0.00125 + 0.050)


def test_packets_queue_behind_one_another_until_the_queue_is_full() -> None:
    pipe = Pipe(True, 0)
    arrivals = [pipe.packet(0.0, 1250, SLOW) for _ in range(100)]
    arrived = [one for one in arrivals if one is not None]
    assert arrived == pytest.approx([0.050 + 0.010 * n for n in range(1, len(arrived) + 1)])
    assert len(arrived) == pytest.approx(QUEUE_S / 0.010, abs=1)
    assert arrivals[len(arrived) :] == [None] * (100 - len(arrived))


def test_losses_are_as_many_as_asked_for_and_the_same_for_a_seed() -> None:
    link = Conditions(1e6, 1e6, loss=0.1)
    pipes = Pipe(True, 7), Pipe(True, 7)
    lost = [[n for n in range(20_000) if pipe.packet(float(n), 100, link) is None] for pipe in pipes]
    assert lost[0] == lost[1]
    assert 0.09 < len(lost[0]) / 20_000 < 0.11


def test_jitter_delays_but_nothing_overtakes() -> None:
    pipe, link = Pipe(True, 3), Conditions(1e3, 1e3, rtt_ms=10.0, jitter_ms=50.0)
    arrived = [pipe.packet(n / 1000, 100, link) for n in range(200)]
    assert None not in arrived
    assert arrived == sorted(arrived)  # type: ignore[type-var]
    assert max(a - n / 1000 for n, a in enumerate(arrived) if a is not None) > 0.040


def test_a_stream_pays_for_a_loss_with_a_retransmission() -> None:
    whole = Conditions(1e3, 1e3, rtt_ms=60.0)
    lossy = Conditions(1e3, 1e3, rtt_ms=60.0, loss=0.999)
    _, arrives_s = Pipe(True, 0).stream(0.0, 10_000, whole)
    _, later_s = Pipe(True, 0).stream(0.0, 10_000, lossy)
    assert later_s - arrives_s == pytest.approx(0.200)  # the last segments: nothing behind them tells, a timeout does


def test_a_cut_lets_nothing_through_and_a_handover_changes_the_rate() -> None:
    fast = Conditions(10.0, 10.0)
    trace = steady(fast, cuts=((2.0, 1.0),))
    assert not trace.at(1.9).cut
    assert trace.at(2.5).cut
    assert Pipe(True, 0).packet(2.5, 100, trace.at(2.5)) is None
    assert trace.at(3.1) == fast
    assert steady(fast, cuts=((0.0, 1.0),)).at(0.0).cut
    back_and_forth = Trace(((0.0, fast), (4.0, SLOW)), period_s=6.0)
    assert [back_and_forth.at(s).up_mbit for s in (0.0, 4.5, 6.5, 11.0)] == [10.0, 1.0, 10.0, 1.0]


def test_a_trace_is_read_from_lines_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "handover.jsonl"
    step = {"at_s": 0, "up_mbit": 20, "down_mbit": 50, "rtt_ms": 40}
    path.write_text("\n".join(map(json.dumps, [step, step | {"at_s": 5, "cut": True}, {"again_s": 6}])))
    trace = read_trace(path)
    assert (trace.at(1).up_mbit, trace.at(5.5).cut, trace.at(6.5).cut) == (20, True, False)
    path.write_text(json.dumps(step) + "\n" + json.dumps({"at_s": 1, "up": 3}))
    with pytest.raises(ValueError, match=r"handover\.jsonl:2"):
        read_trace(path)


@pytest.mark.parametrize("wrong", [{"up_mbit": 0}, {"loss": 1.0}, {"rtt_ms": -1}])
def test_conditions_that_no_link_has_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="link"):
        Conditions(**({"up_mbit": 1.0, "down_mbit": 1.0} | wrong))
