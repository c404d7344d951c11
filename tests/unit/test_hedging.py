"""Hedging: the device beside a cloud that says nothing, the share that may be, who is heard, what was for nothing."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agents import CLOUD, SURE, Bench, FixedPolicy, photo
from edge_agent.api.desk import Ended
from edge_agent.api.metrics import Metrics
from edge_agent.cli.output import answer_record
from edge_agent.clock import ManualClock
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError, ModelError
from edge_agent.hedging import HedgeBudget
from edge_agent.parts import Limits
from edge_agent.types import Answer, Hedged, Route, SystemState
from edge_agent.values import plain
from waiting import until

LIMITS = Limits(deadline_ms=60_000.0, max_cost_usd=0.01)
AFTER_MS = 300.0
TURN_S = 0.02  # of real time, in which everybody comes to his next sleep


class OrderedClock(ManualClock):
    """Wakes who sleeps in the order of this clock's time, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._wakes_in: asyncio.AbstractEventLoop | None = None

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        awake: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleeping, (self.monotonic_s() + seconds, next(self._numbers), awake))
        if self._wakes_in is not loop:
            self._wakes_in = loop
            loop.call_later(TURN_S, self._wake)
        await awake

    def _wake(self) -> None:
        at_s, _, awake = heapq.heappop(self._sleeping)
        if not awake.done():
            self.advance(max(0.0, at_s - self.monotonic_s()))
            awake.set_result(None)
        self._wakes_in = asyncio.get_running_loop() if self._sleeping else None
        if self._wakes_in is not None:
            self._wakes_in.call_later(TURN_S, self._wake)


class StoppedClock(ManualClock):
    """Nobody who sleeps for a while wakes again."""

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.Event().wait()


def bench(
    cloud: Script, local: Script | None = None, *, share: float = 1.0, route: Route = Route.CLOUD, rests: bool = False
) -> Bench:
    return Bench(
        FixedPolicy(route, accept_entropy=0.0),
        clock=OrderedClock(),
        state=SystemState(temperature_celsius=99.0 if rests else 20.0),
        local_scripts=[local or Script(("cup",), SURE, first_after_s=0.1)],
        cloud_scripts=[cloud],
        hedging=HedgeBudget(AFTER_MS, share),
    )


def slow(after_s: float, words: tuple[str, ...] = ("cat",), between_s: float = 0.0) -> Script:
    return Script(words, CLOUD, first_after_s=after_s, between_s=between_s)


def ask(made: Bench, limits: Limits = LIMITS) -> tuple[Answer, list[tuple[Route, str]]]:
    told: list[tuple[Route, str]] = []
    work = made.agent.ask(photo(), limits, lambda route, token: told.append((route, token.text)))
    return asyncio.run(work), told


def test_a_cloud_that_speaks_in_time_is_not_hedged() -> None:
    made = bench(slow(0.2))
    answer, told = ask(made)
    assert (answer.text, answer.hedged, told) == ("cat", None, [(Route.CLOUD, "cat")])
    assert made.local.queries == []


def test_the_device_answers_beside_a_cloud_that_says_nothing_and_its_bill_is_counted() -> None:
    made = bench(slow(5.0))
    answer, told = ask(made)
    assert (answer.text, answer.route, told) == ("cup", Route.LOCAL, [(Route.LOCAL, "cup")])
    assert answer.hedged == Hedged(Route.LOCAL, bytes_up=0, cost_usd=answer.cost_usd)
    assert "the cloud was slower" in answer.reason
    assert made.cloud is not None
    assert made.cloud.cancelled == 1
    assert answer.timings_ms["hedged"] == pytest.approx(400, abs=1)
    assert made.monitors.failures == []


def test_what_a_cloud_that_was_left_had_been_sent_is_part_of_the_answer() -> None:
    made = bench(slow(5.0))
    asked = made.agent.ask(photo(), LIMITS)

    async def watch() -> Answer:
        task = asyncio.create_task(asked)
        assert made.cloud is not None
        queries = made.cloud.queries
        await until(lambda: queries)
        spent = queries[0].spent
        spent.up, spent.down, spent.asked = 1234, 7, True
        return await task

    answer = asyncio.run(watch())
    assert (answer.bytes_up, answer.bytes_down) == (1234, 7)
    assert answer.hedged is not None
    assert answer.hedged.bytes_up == 1234


def test_the_clouds_first_word_ends_the_devices_answer_and_only_the_cloud_is_heard() -> None:
    made = bench(slow(0.35, ("a", "black", "cat"), between_s=0.2), Script(("a", "cup"), SURE, 0.01, between_s=0.1))
    answer, told = ask(made)
    assert answer.text == "a black cat"
    assert {route for route, _ in told} == {Route.CLOUD}
    assert answer.hedged is not None
    assert (answer.hedged.won, answer.hedged.tokens) == (Route.CLOUD, 1)
    assert answer.hedged.device_ms == pytest.approx(50, abs=1)
    assert made.local.cancelled == 1


def test_a_cloud_that_breaks_off_leaves_the_answer_that_the_device_has_begun() -> None:
    broken = Script(first_after_s=0.35, error=CloudError("the connection broke", code="closed"))
    made = bench(broken)
    answer, told = ask(made)
    assert (answer.text, told) == ("cup", [(Route.LOCAL, "cup")])
    assert "the connection broke" in answer.reason
    assert len(made.local.queries) == 1


def test_a_device_that_fails_beside_it_leaves_the_clouds_answer() -> None:
    made = bench(slow(5.0), Script(error=ModelError("the decoder is damaged")))
    answer, _ = ask(made)
    assert (answer.text, answer.route) == ("cat", Route.CLOUD)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_no_more_than_its_share_of_questions_is_hedged(share: float) -> None:
    made = bench(slow(5.0), share=share)
    answers = [ask(made)[0] for _ in range(12)]
    hedged = [answer.hedged is not None for answer in answers]
    assert sum(hedged) == int(12 * share)
    assert all(sum(hedged[:at]) <= share * at for at in range(1, 13))


def test_questions_that_needed_none_save_up_for_two_in_a_row_at_most() -> None:
    budget = HedgeBudget(AFTER_MS, 0.5)
    for _ in range(100):
        budget.asked()
    assert [budget.take() for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("route", "rests"), [(Route.CASCADE, False), (Route.CLOUD, True)], ids=["drafted already", "the device rests"]
)
def test_where_the_device_has_answered_or_may_not_nothing_is_hedged(route: Route, rests: bool) -> None:
    made = bench(slow(5.0), route=route, rests=rests)
    answer, _ = ask(made, replace(LIMITS, max_celsius=80.0))
    assert (answer.route, answer.hedged) == (Route.CLOUD, None)


def test_without_being_asked_for_the_device_never_answers_beside_the_cloud() -> None:
    made = Bench(FixedPolicy(Route.CLOUD), clock=OrderedClock(), cloud_scripts=[slow(5.0)])
    answer, _ = ask(made)
    assert (answer.text, answer.hedged) == ("cat", None)
    assert made.local.queries == []


def test_who_leaves_the_question_stops_both() -> None:
    made = bench(slow(5.0), Script(("a", "cup"), SURE, between_s=30.0))

    async def leave(scripts: Sequence[object]) -> None:
        task = asyncio.create_task(made.agent.ask(photo(), LIMITS))
        await until(lambda: scripts)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave(made.local.queries))
    assert made.cloud is not None
    assert (made.cloud.cancelled, made.local.cancelled) == (1, 1)


@pytest.mark.parametrize("after_s", [0.35, 5.0], ids=["the cloud was first", "the device was first"])
def test_what_was_for_nothing_is_told_to_programs_and_to_prometheus(after_s: float) -> None:
    answer, _ = ask(bench(slow(after_s)))
    hedged = answer.hedged
    assert hedged is not None
    record = plain(answer_record(answer))["hedged"]
    metrics = Metrics(dict)
    metrics.ended(Ended("api", "answered", answer, 1.0, None))
    told = dict(line.rsplit(" ", 1) for line in metrics.text().decode().splitlines() if line.startswith("edge_agent_h"))
    assert float(told[f'edge_agent_hedges_total{{won="{record["won"]}"}}']) == 1
    wasted = [float(told[f"edge_agent_hedge_wasted_{what}_total"]) for what in ("seconds", "bytes", "usd")]
    assert wasted == [pytest.approx(record["device_ms"] / 1000), record["bytes_up"], record["cost_usd"]]
    assert (wasted[0] > 0) == (hedged.won is Route.CLOUD)


def test_bytes_of_a_question_that_was_left_at_its_deadline_are_part_of_the_answer() -> None:
    made = Bench(FixedPolicy(Route.CLOUD), clock=StoppedClock(), cloud_scripts=[slow(0.5)])

    async def late() -> Answer:
        task = asyncio.create_task(made.agent.ask(photo(), replace(LIMITS, deadline_ms=1000.0)))
        assert made.cloud is not None
        queries = made.cloud.queries
        await until(lambda: queries)
        queries[0].spent.up = 77
        return await task

    answer = asyncio.run(late())
    assert (answer.route, answer.bytes_up) == (Route.LOCAL, 77)
