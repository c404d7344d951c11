"""Where the questions of `run` and `outbox` wait for a cloud that is away, by the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_agent.agent import Agent
from edge_agent.cli.options import limits_of
from edge_agent.cli.paths import state_dir
from edge_agent.clock import Clock
from edge_agent.config import Loaded
from edge_agent.service.late import LateQuestions, opened_outbox
from edge_agent.store.outbox import Outbox

if TYPE_CHECKING:  # loaded only where it is served
    from edge_agent.api.desk import Desk


@contextmanager
def keeping(loaded: Loaded, agent: Agent, desk: Desk | None, clock: Clock) -> Iterator[LateQuestions | None]:
    """Where questions wait for a cloud that is away; None where none is to wait."""
    config = loaded.config
    if config.outbox.keep == "none" or config.limits.private or not config.cloud.url:
        yield None
        return
    with opened_outbox(config.outbox, state_dir(config), clock) as outbox:
        yield None if outbox is None else late_questions(outbox, loaded, agent, desk, clock)


def late_questions(outbox: Outbox, loaded: Loaded, agent: Agent, desk: Desk | None, clock: Clock) -> LateQuestions:
    """What keeps and asks again by this configuration; at the `desk`, where everybody asks, if there is one."""
    wanted, asker = loaded.config.outbox, agent if desk is None else desk
    return LateQuestions(
        outbox,
        asker,
        limits_of(loaded),
        agent.cloud_reachable,
        clock,
        automatic=wanted.keep == "all",
        quiet_s=wanted.quiet_s,
        inside=(lambda: 0) if desk is None else (lambda: desk.inside),
        veil=agent.veil,
    )
