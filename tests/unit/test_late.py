"""Questions that wait for the cloud: kept where asked for, asked again in order and late, never before somebody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents import CLOUD, LIMITS, Bench, FixedPolicy, GreyExtractor, frame, photo
from edge_agent.cli.main import main
from edge_agent.clock import ManualClock, SystemClock
from edge_agent.config import OutboxSettings, TriggerSettings
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError, NoAnswerError
from edge_agent.parts import Limits
from edge_agent.policy.guards import AWAY
from edge_agent.service.late import LateQuestions, opened_outbox
from edge_agent.store.outbox import Outbox
from edge_agent.triggers import Firing
from edge_agent.types import Answer, Frame, Observation, Route, SystemState
from edge_agent.watch import Asked, Asker, Watcher

AWAY_NOW = Script(error=CloudError("connection refused"))
PERSON, TRIGGER = Firing("asked", 0.0, 0.0), Firing("change", 0.5, 0.0)


def late(outbox: Outbox, agent: Asker, clock: ManualClock | SystemClock, **more: object) -> LateQuestions:
    wanted = {"automatic": False, "quiet_s": 0.0, "reachable": lambda: None, **more}
    return LateQuestions(outbox, agent, LIMITS, clock=clock, **wanted)  # type: ignore[arg-type]


def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite3", ManualClock(), 10**6, 3600.0, boot="this")


def bench(route: Route, cloud: Sequence[Script], **more: object) -> Bench:
    return Bench(FixedPolicy(route), cloud_scripts=cloud, **more)  # type: ignore[arg-type]


def test_an_answer_says_that_it_would_have_gone_to_a_cloud_that_is_away() -> None:
    away = bench(Route.CLOUD, [AWAY_NOW]).agent
    assert asyncio.run(away.ask(photo(), LIMITS)).cloud_away
    known = bench(Route.CLOUD, [AWAY_NOW], state=SystemState(cloud_reachable=False))
    answer = asyncio.run(known.agent.ask(photo(), LIMITS))
    assert answer.decision.guards == (AWAY,)
    assert answer.cloud_away


@pytest.mark.parametrize(
    ("route", "cloud", "changes"),
    [
        (Route.LOCAL, [AWAY_NOW], {}),
        (Route.CLOUD, [Script(("cat",), CLOUD)], {}),
        (Route.CLOUD, [Script(error=CloudError("no", code="over_budget", retryable=False))], {}),
        (Route.CLOUD, [AWAY_NOW], {"private": True}),
    ],
)
def test_other_answers_do_not(route: Route, cloud: Sequence[Script], changes: dict[str, bool]) -> None:
    assert not asyncio.run(bench(route, cloud).agent.ask(photo(**changes), LIMITS)).cloud_away


def test_a_refusal_says_it_too() -> None:
    broken = bench(Route.CLOUD, [AWAY_NOW], local_scripts=[Script(error=NoAnswerError("too slow"))])
    with pytest.raises(NoAnswerError) as caught:
        asyncio.run(broken.agent.ask(photo(), LIMITS))
    assert caught.value.cloud_away


def test_a_cancelled_question_is_booked_as_it_may_be_billed() -> None:
    state = SystemState(cloud_cost_estimate_usd=0.004)
    slow = Bench(
        FixedPolicy(Route.CLOUD),
        SystemClock(),
        cloud_scripts=[Script(first_after_s=60.0)],
        state=state,  # type: ignore[arg-type]
    )

    async def cancel() -> None:
        asking = asyncio.create_task(slow.agent.ask(photo(), Limits(60_000, 0.01)))
        await until(lambda: slow.cloud is not None and slow.cloud.queries)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(cancel())
    assert slow.ledger.left_usd() == pytest.approx(0.996)


def test_people_are_kept_and_triggers_only_where_asked_for(tmp_path: Path) -> None:
    outbox, agent = box(tmp_path), bench(Route.CLOUD, [AWAY_NOW]).agent

    async def keep() -> list[int | None]:
        few, all_of_them = late(outbox, agent, ManualClock()), late(outbox, agent, ManualClock(), automatic=True)
        found = [await few.keep(firing, photo()) for firing in (PERSON, TRIGGER)]
        found.append(await all_of_them.keep(TRIGGER, photo()))
        return [*found, await all_of_them.keep(PERSON, photo(private=True))]

    assert asyncio.run(keep()) == [1, None, 2, None]


def fill(outbox: Outbox, *asked: str) -> None:
    for question in asked:
        outbox.put(photo(question), "asked")


def catch_up(questions: LateQuestions, times: int) -> list[Asked]:
    said: list[Asked] = []

    async def some() -> None:
        for _ in range(times):
            await questions.ask_next(said.append)

    asyncio.run(some())
    return said


def test_they_are_asked_again_in_order_and_marked(tmp_path: Path) -> None:
    outbox, clock = box(tmp_path), ManualClock()
    fill(outbox, "one?", "two?")
    said = catch_up(late(outbox, bench(Route.CLOUD, [Script(("cat",), CLOUD)]).agent, clock), 3)
    assert [(a.question, a.kept, a.asked_s) for a in said] == [("one?", 1, clock.wall_s()), ("two?", 2, clock.wall_s())]
    assert all(a.answer is not None and a.answer.route is Route.CLOUD for a in said)
    assert outbox.counts()["answered"] == 2


def test_while_the_cloud_stays_away_they_stay(tmp_path: Path) -> None:
    outbox = box(tmp_path)
    fill(outbox, "one?")
    assert catch_up(late(outbox, bench(Route.CLOUD, [AWAY_NOW]).agent, ManualClock()), 5) == []
    assert outbox.counts()["waiting"] == 1


def test_one_that_fails_for_itself_does_not_hold_up_the_others(tmp_path: Path) -> None:
    outbox = box(tmp_path)
    fill(outbox, "bad?", "good?")

    class Picky:
        async def ask(self, observation: Observation, limits: Limits) -> Answer:
            if observation.question == "bad?":
                raise NoAnswerError("there is nothing to look at")
            return await bench(Route.CLOUD, [Script(("cat",), CLOUD)]).agent.ask(observation, limits)

    said = catch_up(late(outbox, Picky(), ManualClock()), 5)
    assert [(a.question, a.error) for a in said] == [("bad?", "there is nothing to look at"), ("good?", None)]
    counts = outbox.counts()
    assert (counts["failed"], counts["answered"], counts["waiting"]) == (1, 1, 0)


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for is no event
        await asyncio.sleep(0.005)


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


def test_two_agents_do_not_ask_the_same_questions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened_outbox(OutboxSettings(), tmp_path, ManualClock()) as first:
        assert first is not None
        with opened_outbox(OutboxSettings(), tmp_path, ManualClock()) as second:
            assert second is None
    assert "belongs to another edge-agent" in caplog.text
    with opened_outbox(OutboxSettings(), tmp_path, ManualClock()) as third:
        assert third is not None


def test_a_folder_that_cannot_be_written_leaves_the_agent_without_outbox(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with opened_outbox(OutboxSettings(), tmp_path / "file" / "state", ManualClock()) as outbox:
        assert outbox is None


def test_the_command_lists_what_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[run]\nstate_dir = "{tmp_path}"\n')
    assert main(["outbox", "list", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out) == {"waiting": 0}
    fill(box(tmp_path), "one?", "two?")
    assert main(["outbox", "list", "--json", "--config", str(config)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("question") for line in lines] == ["one?", "two?", None]
    assert (lines[-1]["kept"], lines[-1]["waiting"]) == (2, 2)


def test_flushing_without_a_cloud_says_what_still_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[run]\nstate_dir = "{tmp_path}"\n[cloud]\nurl = "http://127.0.0.1:9"\n')
    outbox = Outbox(tmp_path / "outbox.sqlite3", SystemClock(), 10**6, 3600.0)
    fill(outbox, "one?")
    assert main(["outbox", "flush", "--config", str(config), "--route", "cloud"]) == 4
    assert "1 questions still wait" in capsys.readouterr().err
    assert outbox.counts()["waiting"] == 1


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
