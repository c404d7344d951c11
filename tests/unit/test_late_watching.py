"""Late questions beside a watcher: somebody who asks goes first, and where that never ceases they get a tenth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from agents import CLOUD, LIMITS, Bench, FixedPolicy, GreyExtractor, frame
from edge_agent.asked import Asked
from edge_agent.clock import ManualClock, SystemClock
from edge_agent.config import TriggerSettings
from edge_agent.engines.scripted import Script
from edge_agent.errors import NoAnswerError
from edge_agent.parts import Limits
from edge_agent.service.late import LateQuestions
from edge_agent.store.outbox import Outbox
from edge_agent.types import Answer, Frame, Observation, Route
from edge_agent.watch import Watcher
from waiting import AWAY_NOW, bench, box, fill, late, until


class Recording:
    """Answers at once, or never while `stuck`; remembers the order."""

    def __init__(self, on_ask: Callable[[str], None] = lambda _: None) -> None:
        self.order: list[str] = []
        self.stuck = False
        self.on_ask = on_ask

    async def ask(self, observation: Observation, limits: Limits) -> Answer:
        self.order.append(observation.question)
        self.on_ask(observation.question)
        if self.stuck and observation.question.startswith("late"):
            await asyncio.Event().wait()
        answer = await Bench(FixedPolicy(Route.LOCAL)).agent.ask(observation, limits)
        return replace(answer, cloud_away=False)


def watching(agent: Recording, outbox: Outbox, play: Callable[[Watcher], object]) -> list[Asked]:
    """Watch one frame, then what `play` does, with what waits in the outbox."""
    said: list[Asked] = []
    quiet = TriggerSettings(on_change=False, on_sound=False)

    async def run() -> None:
        keeper = late(outbox, agent, SystemClock())
        watcher = Watcher(agent, GreyExtractor(), quiet, LIMITS, said.append)
        watcher.keeper = keeper

        async def items() -> object:
            yield frame()
            await asyncio.wait_for(play(watcher), 20)  # type: ignore[arg-type]

        await watcher.run(items())  # type: ignore[arg-type]

    asyncio.run(run())
    return said


def test_somebody_who_asks_now_goes_first(tmp_path: Path) -> None:
    outbox, agent = box(tmp_path), Recording()
    fill(outbox, "late 1?", "late 2?")
    agent.stuck = True

    async def play(watcher: Watcher) -> None:
        await until(lambda: agent.order == ["late 1?"])
        assert watcher.ask("now?")
        await until(lambda: "now?" in agent.order)
        agent.stuck = False
        await until(lambda: not outbox.counts()["waiting"])

    said = watching(agent, outbox, play)
    assert agent.order == ["late 1?", "now?", "late 1?", "late 2?"]
    assert [(a.question, a.asked_s is not None) for a in said] == [
        ("now?", False),
        ("late 1?", True),
        ("late 2?", True),
    ]


def test_a_question_that_the_cloud_missed_is_kept_and_said_to_be(tmp_path: Path) -> None:
    outbox, away = box(tmp_path), bench(Route.CLOUD, [AWAY_NOW])
    said: list[Asked] = []

    async def run() -> None:
        keeper = late(outbox, away.agent, SystemClock(), reachable=lambda: False)
        settings = TriggerSettings(on_change=False)
        watcher = Watcher(away.agent, GreyExtractor(), settings, LIMITS, said.append)
        watcher.keeper = keeper

        async def items() -> object:
            yield frame()
            watcher.ask("what is it?")
            await asyncio.sleep(0.05)

        await watcher.run(items())  # type: ignore[arg-type]

    asyncio.run(run())
    assert [(a.question, a.kept) for a in said] == [("what is it?", 1)]
    assert said[0].answer is not None, "the device answers meanwhile"
    assert [one.question for one in outbox.waiting()] == ["what is it?"]


def test_somebody_who_asks_through_another_door_goes_first_too(tmp_path: Path) -> None:
    outbox, agent = box(tmp_path), Recording()
    fill(outbox, "late 1?")
    agent.stuck = True
    said: list[Asked] = []
    questions = late(outbox, agent, SystemClock(), inside=lambda: 2 if agent.order else 0)
    assert asyncio.run(asyncio.wait_for(questions.ask_next(said.append), 20)) is False
    assert (agent.order, said, outbox.counts()["waiting"]) == (["late 1?"], [], 1)


class Ceaseless:
    """An agent at which somebody always asks; each question takes `takes_s` of the clock."""

    def __init__(self, clock: ManualClock, takes_s: float) -> None:
        self._clock, self._takes_s = clock, takes_s
        self.deadlines_ms: list[float] = []
        self.inner = bench(Route.CLOUD, [Script(("cat",), CLOUD)]).agent

    async def ask(self, observation: Observation, limits: Limits) -> Answer:
        self.deadlines_ms.append(limits.deadline_ms)
        self._clock.advance(self._takes_s)
        return await self.inner.ask(observation, limits)


def test_where_questions_never_cease_late_ones_have_a_tenth_of_the_time(tmp_path: Path) -> None:
    clock, outbox = ManualClock(), box(tmp_path)
    agent = Ceaseless(clock, 2.0)
    fill(outbox, *(f"{n}?" for n in range(20)))
    long = Limits(60_000, 0.01)
    questions = LateQuestions(outbox, agent, long, lambda: None, clock, automatic=False, quiet_s=1.0, inside=lambda: 3)
    said: list[Asked] = []

    async def busy() -> None:
        for _ in range(100):
            clock.advance(1.0)  # somebody's question
            await questions.in_between(said.append)

    asyncio.run(busy())
    assert 5 <= len(said) <= 7, "100 s of others, two seconds each"
    assert set(agent.deadlines_ms) == {3000.0}, "short, so that nobody waits for long"


def test_a_late_question_that_was_given_little_time_is_not_given_up(tmp_path: Path) -> None:
    outbox, clock = box(tmp_path), ManualClock()
    fill(outbox, "one?")

    class Slow:
        async def ask(self, observation: Observation, limits: Limits) -> Answer:
            raise NoAnswerError("the time ran out while waiting for the cloud")

    questions = late(outbox, Slow(), clock)

    async def several() -> None:
        for _ in range(10):
            await questions.in_between(lambda asked: None)

    asyncio.run(several())
    assert outbox.counts()["waiting"] == 1


def test_a_watcher_that_is_never_idle_empties_the_outbox_all_the_same(tmp_path: Path) -> None:
    outbox, rig = box(tmp_path), bench(Route.CLOUD, [Script(("cat",), CLOUD)])
    fill(outbox, "late?")
    said: list[Asked] = []
    watcher = Watcher(rig.agent, GreyExtractor(), TriggerSettings(on_change=False, on_sound=False), LIMITS, said.append)
    watcher.keeper = late(outbox, rig.agent, SystemClock())

    async def frames() -> AsyncIterator[Frame]:
        yield frame()
        for n in range(1000):
            watcher.ask(f"{n}?")
            await asyncio.sleep(0)
            if any(one.asked_s is not None for one in said):
                return

    asyncio.run(watcher.run(frames()))
    assert [one.question for one in said if one.asked_s is not None] == ["late?"]
