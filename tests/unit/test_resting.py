"""A board that is too hot or out of memory: the cloud answers alone, or the question is refused in words."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agents import CLOUD, LIMITS, Bench, FixedPolicy, photo
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError, NoAnswerError
from edge_agent.types import Answer, Route, SystemState

HOT = SystemState(temperature_celsius=91.0, memory_available_mb=500.0)
COOLER = replace(LIMITS, max_celsius=85.0, min_memory_mb=32.0)


def ask(bench: Bench, **changes: object) -> Answer:
    return asyncio.run(bench.agent.ask(photo(**changes), COOLER))


@pytest.mark.parametrize("route", list(Route))
def test_the_cloud_answers_and_the_device_decodes_nothing(route: Route) -> None:
    bench = Bench(FixedPolicy(route, accept_entropy=1.0), cloud_scripts=[Script(("cat",), CLOUD)], state=HOT)
    answer = ask(bench)
    assert (answer.text, answer.route) == ("cat", Route.CLOUD)
    assert answer.decision.rests == "heat: the board is at 91 degrees, the limit is 85"
    assert bench.local.queries == []


@pytest.mark.parametrize("route", list(Route))
def test_where_nothing_may_leave_the_question_is_refused(route: Route) -> None:
    bench = Bench(FixedPolicy(route), state=HOT)
    with pytest.raises(NoAnswerError, match=r"the device rests \(heat: the board is at 91 degrees"):
        ask(bench, private=True)
    assert bench.local.queries == []
    assert bench.cloud is not None
    assert bench.cloud.queries == []
    assert "rests" in bench.journal.records[0]["error"]


def test_a_cloud_that_fails_does_not_make_the_device_work() -> None:
    away = [Script(error=CloudError("connection refused"))]
    bench = Bench(FixedPolicy(Route.CLOUD), cloud_scripts=away, state=HOT)
    with pytest.raises(NoAnswerError, match="connection refused") as caught:
        ask(bench)
    assert bench.local.queries == []
    assert caught.value.cloud_away, "it may wait in the outbox"


def test_memory_is_guarded_in_the_same_way() -> None:
    full = SystemState(memory_available_mb=12.0)
    assert ask(Bench(FixedPolicy(Route.LOCAL), state=full)).decision.guards == (
        "memory: 12 MB are left, 32 are kept free",
    )


def test_what_is_not_known_guards_nothing() -> None:
    assert not ask(Bench(FixedPolicy(Route.LOCAL), state=SystemState())).decision.guards
