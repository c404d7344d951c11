"""At the desk no turn is lost: neither to a client that goes away as its turn comes, nor to one that waits long."""

from __future__ import annotations

import asyncio

import pytest

from agents import LIMITS, Bench, FixedPolicy, photo
from edge_agent.api.desk import Desk
from edge_agent.clock import SystemClock
from edge_agent.errors import NoAnswerError
from edge_agent.parts import Limits
from edge_agent.types import Answer, Route


def asked(desk: Desk, limits: Limits = LIMITS) -> asyncio.Task[Answer]:
    return asyncio.ensure_future(desk.ask(photo(), limits))


def desk() -> Desk:
    made = Desk(SystemClock(), 8)
    made.open(Bench(FixedPolicy(Route.LOCAL)).agent)
    return made


@pytest.mark.parametrize("steps", range(6))
def test_a_client_that_goes_away_as_its_turn_comes_ends_and_gives_the_turn_back(steps: int) -> None:
    async def go() -> None:
        at = desk()
        await at._lock.acquire()  # somebody is being answered
        gone, next_one = asked(at), asked(at)
        await asyncio.sleep(0.01)
        at._lock.release()
        for _ in range(steps):
            await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (await next_one).route is Route.LOCAL
        assert (await asked(at)).route is Route.LOCAL
        assert at.inside == 0

    asyncio.run(asyncio.wait_for(go(), 20))


def test_a_question_that_waits_too_long_is_refused_and_the_next_is_answered() -> None:
    async def go() -> None:
        at = desk()
        await at._lock.acquire()
        with pytest.raises(NoAnswerError, match="while other questions were answered"):
            await asked(at, Limits(deadline_ms=20.0))
        at._lock.release()
        assert (await asked(at)).route is Route.LOCAL

    asyncio.run(asyncio.wait_for(go(), 20))
