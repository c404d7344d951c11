"""Questions that wait for the cloud: kept where asked for, asked again in order and late, never before somebody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents import CLOUD, LIMITS, Bench, FixedPolicy, photo
from boxes import open_box
from edge_agent.asked import Asked
from edge_agent.cli.main import main
from edge_agent.clock import ManualClock, SystemClock
from edge_agent.config import OutboxSettings
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError, NoAnswerError
from edge_agent.parts import Limits
from edge_agent.policy.guards import AWAY
from edge_agent.service.late import LateQuestions, opened_outbox
from edge_agent.triggers import Firing
from edge_agent.types import Answer, Observation, Route, SystemState
from waiting import AWAY_NOW, bench, box, fill, late, until

PERSON, TRIGGER = Firing("asked", 0.0, 0.0), Firing("change", 0.5, 0.0)


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
    outbox = open_box(tmp_path / "outbox.sqlite3", SystemClock())
    fill(outbox, "one?")
    assert main(["outbox", "flush", "--config", str(config), "--route", "cloud"]) == 4
    assert "1 questions still wait" in capsys.readouterr().err
    assert outbox.counts()["waiting"] == 1
