"""Every question ends by its deadline, whatever stalls: features, purse, decision log, outbox, a deaf engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from agents import Bench, FixedPolicy, GreyExtractor, frame, photo
from edge_agent.asked import Asked
from edge_agent.clock import SystemClock, within
from edge_agent.config import TriggerSettings
from edge_agent.engines.base import Query
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError, NoAnswerError
from edge_agent.overdue import Overdue
from edge_agent.parts import Limits
from edge_agent.recording import MOST_UNWRITTEN, Recorder
from edge_agent.triggers import Firing
from edge_agent.types import Decision, Frame, Generation, Observation, Route, TokenEvent
from edge_agent.watch import Watcher

SHORT = Limits(deadline_ms=200.0, max_cost_usd=0.01)


class Stall:
    """What blocks a thread until it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.entered = threading.Event()

    def __call__(self, *_: Any) -> Any:
        self.entered.set()
        assert self.free.wait(60), "nobody let go"
        return None


def bench(route: Route = Route.LOCAL, **more: Any) -> Bench:
    return Bench(FixedPolicy(route), SystemClock(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["features", "monitors"])
def test_a_part_that_stalls_costs_one_typed_refusal(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, stall = bench(Route.CLOUD), Stall()
    if part == "features":
        monkeypatch.setattr(GreyExtractor, "observe", stall)
    else:
        monkeypatch.setattr(rig.monitors, "state", stall)

    async def ask() -> None:
        try:
            with pytest.raises(NoAnswerError, match="the time ran out"):
                await rig.agent.ask(photo(), SHORT)
            assert stall.entered.is_set()
            assert not stall.free.is_set()
        finally:
            stall.free.set()

    asyncio.run(ask())


@pytest.mark.parametrize("part", ["reserve", "settle"])
def test_a_purse_that_stalls_leaves_the_device_the_time_to_answer(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, stall = bench(Route.CLOUD, cloud_scripts=[Script(error=CloudError("connection refused"))]), Stall()
    monkeypatch.setattr(rig.ledger, part, stall)

    async def ask() -> None:
        try:
            answer = await rig.agent.ask(photo(), Limits(deadline_ms=700.0, max_cost_usd=0.01))
            assert answer.route is Route.LOCAL
            assert not stall.free.is_set()
        finally:
            stall.free.set()

    asyncio.run(ask())


def test_an_engine_that_goes_on_after_it_was_cancelled_holds_up_nobody() -> None:
    rig = bench()

    class Deaf:
        name = "local"
        ended = False

        async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
            try:
                await asyncio.sleep(60)
            finally:
                await self.on()
            yield TokenEvent("", 0, 0.0, 0.0)

        async def on(self) -> None:
            await go_on.wait()
            self.ended = True

    deaf, go_on = Deaf(), asyncio.Event()
    rig.local.generate = deaf.generate  # type: ignore[method-assign]

    async def ask() -> None:
        with pytest.raises(NoAnswerError, match="the time ran out while answering"):
            await rig.agent.ask(photo(), SHORT)
        assert not deaf.ended
        go_on.set()
        await rig.agent.close()
        while not deaf.ended:  # noqa: ASYNC110 - it ends by itself, later
            await asyncio.sleep(0.001)

    asyncio.run(ask())


def test_a_decision_log_that_stalls_delays_no_answer_beyond_its_deadline_and_gets_its_line_later() -> None:
    rig, stall = bench(), Stall()
    append = rig.journal.append

    def slow(record: dict[str, Any]) -> None:
        stall()
        append(record)

    rig.journal.append = slow  # type: ignore[method-assign]

    async def ask() -> None:
        try:
            answer = await rig.agent.ask(photo(), SHORT)
            assert answer.text == "cup"
            assert rig.journal.records == []
        finally:
            stall.free.set()
        await rig.agent.close()
        assert len(rig.journal.records) == 1

    asyncio.run(ask())


def test_lines_that_wait_for_the_disk_are_few_and_what_is_missed_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stall, written = Stall(), list[int]()

    class Slow:
        def append(self, record: dict[str, Any]) -> None:
            stall()
            written.append(record["n"])

    async def fill() -> None:
        recorder = Recorder(Slow())
        for n in range(MOST_UNWRITTEN + 5):
            await recorder.record(lambda n=n: {"n": n}, 0.0)  # type: ignore[misc]
        stall.free.set()
        await recorder.close()

    asyncio.run(fill())
    assert written == list(range(MOST_UNWRITTEN))
    assert [record.message for record in caplog.records] == ["the decision log misses lines: the disk does not keep up"]


def test_an_answer_is_said_by_the_deadline_though_the_outbox_has_not_taken_the_question() -> None:
    rig = bench(Route.CLOUD, cloud_scripts=[Script(error=CloudError("connection refused"))])
    asked: list[Asked] = []

    class SlowKeeper:
        taken = asyncio.Event()

        async def keep(self, firing: Firing, observation: Observation) -> int | None:
            await self.taken.wait()
            return 1

        async def catch_up(self, say: Callable[[Asked], None]) -> None:
            await asyncio.Event().wait()

        async def in_between(self, say: Callable[[Asked], None]) -> None: ...

    async def watch() -> None:
        said = asyncio.Event()

        def tell(one: Asked) -> None:
            asked.append(one)
            said.set()

        quiet = TriggerSettings(on_change=False, on_sound=False)
        watcher = Watcher(rig.agent, GreyExtractor(), quiet, SHORT, tell)
        watcher.keeper = SlowKeeper()

        async def frames() -> AsyncIterator[Frame]:
            yield frame()
            watcher.ask("what is it?")
            await said.wait()

        await watcher.run(frames())

    asyncio.run(watch())
    assert [(one.answer is not None, one.kept) for one in asked] == [(True, None)]


def test_what_ends_in_time_is_given_as_it_is_and_a_cancelled_one_is_cancelled() -> None:
    async def play() -> None:
        overdue = Overdue()

        async def number() -> int:
            return 7

        assert await overdue.by(number(), 60.0, lambda: "counting") == 7
        forever = asyncio.Event()
        waiting = asyncio.create_task(overdue.by(forever.wait(), 60.0, lambda: "waiting"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await overdue.settled(0.0)

    asyncio.run(play())


def test_a_cancellation_that_comes_as_the_work_ends_is_not_lost() -> None:
    """A watch that was told to stop just as a frame came went on for ever (asyncio.wait_for before Python 3.12)."""

    async def play() -> None:
        frame_came = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(within(frame_came, 60.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        frame_came.set_result("a frame")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(play())


def test_what_runs_out_of_time_is_cancelled_and_its_clean_up_awaited() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def play() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await within(work(), 0.01)
        assert cleaned == ["up"]
        with pytest.raises(ZeroDivisionError):
            await within(fails(), 60.0)

    async def fails() -> None:
        raise ZeroDivisionError

    asyncio.run(play())
