"""Runs of the simulator: they replay, are paired, and do what the agent does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_agent.config import Config
from edge_agent.sim.compare import PER_PHOTO, Comparison, PhotoSums, compare, interval
from edge_agent.sim.device import Answered
from edge_agent.sim.scenario import ArrivalSpec, CloudSpec, DeviceSpec, LimitSpec, LinkSpec, Scenario, TableSpec
from edge_agent.sim.simulator import make_simulated, play, run_once
from edge_agent.sim.world import Asked, Questions, draw, open_table

SETTINGS = replace(Config().policy, accept_entropy=0.1)
TABLE = open_table("")
SMALL = ArrivalSpec(questions=60)


@pytest.fixture(scope="module")
def questions() -> Questions:
    return Questions(TABLE, TableSpec(), SETTINGS.tile_entropy_bits)


def run(questions: Questions, policy: str, seed: int = 0, settings: Any = SETTINGS, **parts: Any) -> Any:
    scenario = Scenario("test", **({"arrivals": SMALL} | parts))
    world = draw(scenario, questions, seed)
    lines = list[dict[str, Any]]()
    figures = run_once(
        scenario, questions, world, lambda at: make_simulated(settings, policy, seed), settings, lambda at: lines.append
    )
    return figures, lines


@pytest.mark.parametrize("policy", ["msao", "ucb", "hybrid", "random"])
def test_a_run_replays_from_its_seed(questions: Questions, policy: str) -> None:
    first, again, other = (run(questions, policy, seed) for seed in (3, 3, 4))
    assert first == again
    assert first[0] != other[0]


def test_every_policy_meets_the_same_questions_at_the_same_times(questions: Questions) -> None:
    asked = [[line["question"] for line in run(questions, policy)[1]] for policy in ("local", "cloud", "msao")]
    assert asked[0] == asked[1] == asked[2]
    assert len(asked[0]) == SMALL.questions


def test_an_idle_device_takes_the_milliseconds_of_the_table_and_no_more(questions: Questions) -> None:
    figures, _ = run(questions, "local", arrivals=ArrivalSpec(questions=60, per_minute=0.1))
    rows = [one.row for one in draw(Scenario("t", arrivals=SMALL), questions, 0).asked[0]]
    columns, node = TABLE.columns["edge-1t"], TABLE.nodes["edge-1t"]
    again = np.diff(TABLE.photo[rows], prepend=-1) == 0  # about the picture of the question before
    encoded = np.where(again, 0.0, columns.device_ms[rows])
    prompted = columns.prefill_ms[rows] * np.where(again, node.again_prefill, 1.0)
    beyond = np.where(again, node.beyond_ms(again=True), node.overhead_ms)
    expected = (encoded + prompted + columns.decode_ms[rows] + beyond).mean()
    assert figures.latency_ms == pytest.approx(expected, rel=1e-5)
    assert figures.accuracy == columns.right[rows].mean()
    assert (figures.cloud_share, figures.bytes_up) == (0.0, 0.0)


def about_one_photo(questions: Questions, policy: str) -> list[Any]:
    """What becomes of three questions about one photo and one about another, far apart."""
    rows = [int(row) for row in questions.rows]
    first = next(row for row in rows if sum(TABLE.photo[rows] == TABLE.photo[row]) >= 3)
    same = [row for row in rows if TABLE.photo[row] == TABLE.photo[first]][:3]
    other = next(row for row in rows if TABLE.photo[row] != TABLE.photo[first])
    scenario = Scenario("test", link=LinkSpec(kind="wired"), arrivals=replace(SMALL, questions=4))
    asked = tuple(Asked(100.0 * at, row, private=False) for at, row in enumerate([*same, other]))
    world = replace(draw(scenario, questions, 0), asked=(asked,))
    return play(scenario, questions, world, lambda at: make_simulated(SETTINGS, policy, at))[0]


def test_a_further_question_about_a_picture_finds_it_encoded(questions: Questions) -> None:
    new, again, *_, other = about_one_photo(questions, "local")
    columns, share = TABLE.columns["edge-1t"], TABLE.nodes["edge-1t"].again_prefill
    assert share < 0.5
    spared = columns.encode_ms[TABLE.photo == new.photo].min()
    assert new.device_ms - again.device_ms > spared
    assert other.device_ms > 2 * again.device_ms


def test_a_picture_that_the_cloud_still_holds_is_not_sent_again(questions: Questions) -> None:
    new, again, third, other = about_one_photo(questions, "cloud")
    payload = int(TABLE.columns["cloud-tiles"].bytes_up[TABLE.photo == new.photo].min())
    assert new.bytes_up - again.bytes_up > 0.8 * payload
    assert abs(third.bytes_up - again.bytes_up) < 60  # the question alone
    assert new.cloud_ms > 3 * again.cloud_ms
    assert other.cloud_ms > 3 * again.cloud_ms


def test_the_cloud_answers_everything_with_its_own_answers_over_a_link_that_holds(questions: Questions) -> None:
    figures, _ = run(questions, "cloud", link=LinkSpec(kind="wired"))
    rows = [one.row for one in draw(Scenario("t", arrivals=SMALL), questions, 0).asked[0]]
    assert figures.cloud_share == 1.0
    assert figures.accuracy == TABLE.columns["cloud-tiles"].right[rows].mean()


def test_a_slower_device_takes_longer_by_its_factor(questions: Questions) -> None:
    rare = ArrivalSpec(questions=60, per_minute=0.1)
    fast, slow = (run(questions, "local", arrivals=rare, device=DeviceSpec(slowdown=f))[0] for f in (1.0, 4.0))
    assert slow.latency_ms == pytest.approx(4 * fast.latency_ms, rel=1e-6)
    assert slow.compute_ms == pytest.approx(fast.compute_ms)


def test_a_slower_uplink_makes_the_cloud_wait(questions: Questions) -> None:
    fast, slow = (run(questions, "cloud", link=LinkSpec(kind="4g", scale=s))[0].latency_ms for s in (1.0, 0.002))
    assert slow > 1.5 * fast


def test_drafts_are_judged_as_the_agent_judges_them(questions: Questions) -> None:
    _, lines = run(questions, "cascade", link=LinkSpec(kind="wired"))
    for line in lines:
        stands = line["outcome"]["draft_accepted"] is None
        by_entropy = {True: [], False: []}
        entropy = questions_entropy(line)
        by_entropy[stands].append(entropy)
        assert (entropy <= SETTINGS.accept_entropy) is stands
    assert {line["outcome"]["route"] for line in lines} == {"local", "cloud"}


def questions_entropy(line: dict[str, Any]) -> float:
    """The draft's entropy by the table, found through the question and the answer's time of the line."""
    if line["outcome"]["draft_entropy"] is not None:
        return float(line["outcome"]["draft_entropy"])
    rows = np.flatnonzero(TABLE.question == line["question"])
    confidence = TABLE.columns["edge-1t"].confidence[rows].astype(np.float64)
    row = rows[int(np.argmin(np.abs(confidence - line["outcome"]["confidence"])))]
    return float(TABLE.columns["edge-1t"].entropy[row])


def test_during_an_outage_the_device_answers_and_holds_off(questions: Questions) -> None:
    dead = LinkSpec(kind="wired", outage_every_s=0.01, outage_s=1e5)
    figures, lines = run(questions, "cloud", link=dead)
    assert figures.answered == 1.0
    assert figures.cloud_share < 0.1
    assert any(any("offline" in words for words in line["decision"].guards) for line in lines)


def test_private_questions_never_leave_the_device(questions: Questions) -> None:
    figures, lines = run(questions, "cloud", device=DeviceSpec(private_share=1.0))
    assert (figures.cloud_share, figures.bytes_up) == (0.0, 0.0)
    assert {line["question"] for line in lines} == {None}


def test_no_day_costs_more_than_its_budget(questions: Questions) -> None:
    price, budget = 0.004, 0.05
    figures, _ = run(
        questions,
        "cloud",
        cloud=CloudSpec(usd_per_question=price),
        limits=LimitSpec(budget_usd_per_day=budget),
        arrivals=ArrivalSpec(questions=60, per_minute=60.0),
    )
    assert 0 < figures.cost_usd * 60 <= budget + 1e-9


def test_what_is_not_answered_within_the_deadline_counts_as_wrong(questions: Questions) -> None:
    figures, _ = run(questions, "local", limits=LimitSpec(deadline_ms=1.0))
    assert (figures.answered, figures.accuracy, figures.latency_ms) == (0.0, 0.0, 1.0)


def test_an_empty_battery_answers_nothing_more(questions: Questions) -> None:
    figures, _ = run(questions, "local", device=DeviceSpec(battery_wh=0.2))
    assert 0.0 < figures.answered < 1.0


def test_a_full_queue_refuses_the_newest(questions: Questions) -> None:
    flood = ArrivalSpec(questions=200, per_minute=1e5)
    assert run(questions, "local", arrivals=flood, device=DeviceSpec(queue=4))[0].answered < 0.5


def test_many_devices_wait_for_one_cloud(questions: Questions) -> None:
    crowd = ArrivalSpec(questions=160, per_minute=600.0)
    latency_ms = [
        run(questions, "cloud", device=DeviceSpec(count=16), cloud=CloudSpec(workers=w), arrivals=crowd)[0].latency_ms
        for w in (1, 16)
    ]
    assert latency_ms[0] > 1.5 * latency_ms[1]


def test_the_oracle_is_worth_at_least_as_much_as_either_constant(questions: Questions) -> None:
    compared = compare(Scenario("t", arrivals=SMALL), questions, ["local", "cloud", "oracle"], SETTINGS, range(3))
    assert compared.ranked()[0] == "oracle"


def test_judged_photos_are_not_those_that_predictors_were_fitted_on() -> None:
    judged, fitted = (Questions(TABLE, TableSpec(split=s), 3.0).rows for s in ("judged", "fitted"))
    assert not set(TABLE.photo[judged]) & set(TABLE.photo[fitted])


def test_seeds_in_a_row_ask_every_question_before_one_comes_again(questions: Questions) -> None:
    count = len(questions.rows) // 4
    scenario = Scenario("t", arrivals=ArrivalSpec(questions=count), device=DeviceSpec(count=3))
    rows = [one.row for seed in range(4) for device in draw(scenario, questions, seed).asked for one in device]
    assert len(set(rows)) == len(rows) == 4 * count


def compared(questions: Questions, *policies: str) -> Comparison:
    return compare(Scenario("test", arrivals=SMALL), questions, policies, SETTINGS, range(3))


def test_a_difference_over_photos_has_the_mean_of_the_one_over_seeds_and_a_width_of_its_own(
    questions: Questions,
) -> None:
    found = compared(questions, "local", "cloud")
    for metric in PER_PHOTO:
        by_seeds, by_photos = (of("cloud", "local", metric) for of in (found.difference, found.over_photos))
        assert by_photos.mean == pytest.approx(by_seeds.mean, rel=1e-6)
        assert by_photos.half > 0.0
        assert found.paired("cloud", "local", metric).half == max(by_seeds.half, by_photos.half)


def test_questions_about_one_photo_count_together(questions: Questions) -> None:
    sums = [PhotoSums(questions.photos) for _ in range(2)]
    for photo in range(4):  # all three questions about a photo gain, or none does
        for _ in range(3):
            for one, right in zip(sums, (photo % 2 == 0, False), strict=True):
                one.add([Answered(photo, right, True, 0.0)], SETTINGS)
    found = Comparison(Scenario("test"), [0])
    for name, one in zip(("a", "b"), sums, strict=True):
        found.add(name, {}, one)
    # four values 1, 0, 1, 0 of one weight each: the standard error of their mean, not that of twelve
    assert found.over_photos("a", "b", "accuracy").half == pytest.approx(1.96 * np.std([1, 0, 1, 0], ddof=1) / 2)


def test_an_interval_is_students() -> None:
    assert interval([1.0, 3.0]).half == pytest.approx(12.706)
    assert interval([2.0] * 40).half == 0.0
    assert interval([1.0]).half == float("inf")
