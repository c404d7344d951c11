"""An outbox of questions that wait for the cloud, and the ways in which a test empties it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from agents import LIMITS, Bench, FixedPolicy, photo
from boxes import open_box
from edge_agent.asked import Asker
from edge_agent.clock import ManualClock, SystemClock
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError
from edge_agent.service.late import LateQuestions
from edge_agent.store.outbox import Outbox
from edge_agent.types import Route

AWAY_NOW = Script(error=CloudError("connection refused"))


def late(outbox: Outbox, agent: Asker, clock: ManualClock | SystemClock, **more: object) -> LateQuestions:
    wanted = {"automatic": False, "quiet_s": 0.0, "reachable": lambda: None, **more}
    return LateQuestions(outbox, agent, LIMITS, clock=clock, **wanted)  # type: ignore[arg-type]


def box(tmp_path: Path) -> Outbox:
    return open_box(tmp_path / "outbox.sqlite3", ManualClock(), boot="this")


def bench(route: Route, cloud: Sequence[Script], **more: object) -> Bench:
    return Bench(FixedPolicy(route), cloud_scripts=cloud, **more)  # type: ignore[arg-type]


def fill(outbox: Outbox, *asked: str) -> None:
    for question in asked:
        outbox.put(photo(question), "asked")


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for is no event
        await asyncio.sleep(0.005)
