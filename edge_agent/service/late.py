"""Asks again what waited for the cloud: in order, marked late, only while nobody asks anything now."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.asked import Asked, Asker
from edge_agent.clock import Clock
from edge_agent.config import OutboxSettings
from edge_agent.errors import EdgeAgentError, ModelError, NoAnswerError
from edge_agent.parts import Limits, Veil
from edge_agent.store.outbox import ASKED, Outbox, Waiting
from edge_agent.triggers import Firing
from edge_agent.types import Answer, Observation

MOST_QUIET_S = 60.0
MOST_LONGER = 64.0
LOOK_EVERY_S = 0.05
SHARE = 9.0  # of the time that late questions take, others go first: a tenth is theirs where nobody ever pauses
TURN_S = 3.0  # the longest that a late question takes then
log = logging.getLogger(__name__)


class LateQuestions:
    """Keeps questions in an Outbox, those of triggers only with `automatic`, and asks them again the way they were
    asked. `reachable` says whether the cloud is: None, not known, is worth a try. `inside`: how many questions are with
    the agent or wait for it, where more than this asks it.

    What somebody asks meanwhile goes first: the late question is cancelled, stays, and then waits for a longer quiet,
    so that cancelled turns do not add up. Where questions of now never cease, late ones have a tenth of the time: such
    a turn is not cancelled, but short.
    """

    def __init__(
        self,
        outbox: Outbox,
        agent: Asker,
        limits: Limits,
        reachable: Callable[[], bool | None],
        clock: Clock,
        *,
        automatic: bool,
        quiet_s: float,
        inside: Callable[[], int] = lambda: 0,
        veil: Veil | None = None,
    ) -> None:
        self.limits = limits
        self.automatic = automatic
        self.quiet_s = quiet_s
        self._outbox = outbox
        self._agent = agent
        self._reachable = reachable
        self._clock = clock
        self._inside = inside
        self._veil = veil
        self._longer = 1.0
        self._ended_s = clock.monotonic_s()  # of the last late question
        self._took_s = 0.0

    def change(self, settings: OutboxSettings, limits: Limits) -> None:
        """Other limits from now on; what is kept stays as it was configured at the start."""
        self.limits, self.quiet_s = limits, settings.quiet_s
        self._outbox.max_bytes, self._outbox.max_age_s = int(settings.max_mb * 1e6), settings.max_age_h * 3600

    async def keep(self, firing: Firing, observation: Observation) -> int | None:
        """The number under which a question waits, once that is on the disk; None for one that is not kept."""
        if observation.private or (firing.trigger != ASKED and not self.automatic):
            return None
        return await asyncio.shield(asyncio.to_thread(self._put, observation, firing.trigger))

    def _put(self, observation: Observation, trigger: str) -> int | None:
        """On the disk lies what would go up: faces are blurred before, or the question is not kept."""
        try:
            veiled = observation if self._veil is None else self._veil(observation)
        except ModelError as error:
            log.warning("a question is not kept, since its faces cannot be blurred: %s", error)
            return None
        return self._outbox.put(veiled, trigger)

    async def catch_up(self, say: Callable[[Asked], None]) -> None:
        """Ask one after the other, each after a quiet, until cancelled."""
        while True:
            await self._clock.sleep(max(0.01, min(MOST_QUIET_S, self.quiet_s * self._longer)))
            if self._inside():
                await self.in_between(say)
            elif self._reachable() is not False:
                await self.ask_next(say)

    async def in_between(self, say: Callable[[Asked], None]) -> None:
        """Ask the oldest, with no more than TURN_S, if it is its turn among questions that never cease."""
        rest_s = max(self.quiet_s, SHARE * self._took_s)
        if self._reachable() is not False and self._clock.monotonic_s() - self._ended_s >= rest_s:
            await self.ask_next(say, among_others=True)

    async def ask_next(self, say: Callable[[Asked], None], *, among_others: bool = False) -> bool:
        """Ask the oldest; whether it has left, by an answer or for good. `among_others`: briefly, and to its end."""
        waiting = await asyncio.to_thread(self._outbox.head)
        if waiting is None:
            self._book(self._clock.monotonic_s())
            return False
        before, began_s = self._longer, self._clock.monotonic_s()
        try:
            left = await self._ask(waiting, say, among_others)
        except asyncio.CancelledError:
            self._longer = min(MOST_LONGER, self._longer * 2)
            raise
        finally:
            self._book(began_s)
        if self._longer == before:
            self._longer = 1.0
        return left

    def _book(self, began_s: float) -> None:
        self._ended_s = self._clock.monotonic_s()
        self._took_s = self._ended_s - began_s

    async def _ask(self, waiting: Waiting, say: Callable[[Asked], None], among_others: bool) -> bool:
        try:
            observation = await asyncio.to_thread(waiting.observation)
        except ValueError as error:
            log.warning("question %d of the outbox cannot be read: %s", waiting.number, error)
            await self._settled(waiting, False)
            return True
        firing = Firing(
            waiting.trigger, waiting.waited_s, observation.frames[-1].timestamp_s if observation.frames else 0
        )
        try:
            if among_others:
                brief = replace(self.limits, deadline_ms=min(self.limits.deadline_ms, TURN_S * 1000))
                answer: Answer | None = await self._agent.ask(observation, brief)
            else:
                answer = await self._alone(self._agent.ask(observation, self.limits))
        except EdgeAgentError as error:
            if among_others and isinstance(error, NoAnswerError):
                return False  # that was little time: it says nothing about the question
            if error.cloud_away or await asyncio.to_thread(self._outbox.tried, waiting):
                return False
            say(Asked(firing, observation.question, None, str(error), waiting.number, waiting.asked_s))
            return True
        if answer is None or answer.cloud_away:
            return False
        say(Asked(firing, observation.question, answer, None, waiting.number, waiting.asked_s))
        await self._settled(waiting, True)  # after it was said: a power cut in between repeats an answer, loses none
        return True

    async def _alone(self, asking: Coroutine[Any, Any, Answer]) -> Answer | None:
        """The answer, or None once somebody else asks: then it is cancelled."""
        task = asyncio.ensure_future(asking)
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_EVERY_S))[0]:
                if self._inside() > 1:
                    self._longer = min(MOST_LONGER, self._longer * 2)
                    return None
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _settled(self, waiting: Waiting, answered: bool) -> None:
        await asyncio.shield(asyncio.to_thread(self._outbox.done, waiting.number, answered))


def outbox_path(folder: Path) -> Path:
    """Where the questions wait."""
    return folder / "outbox.sqlite3"


@contextmanager
def opened_outbox(settings: OutboxSettings, folder: Path, clock: Clock) -> Iterator[Outbox | None]:
    """The outbox in a state folder, for the one process that asks what waits there.

    None, with a warning, where there can be none, or where another process has it: then no question waits.
    """
    outbox, handle = None, -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "outbox.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        outbox = Outbox(outbox_path(folder), clock, int(settings.max_mb * 1e6), settings.max_age_h * 3600)
    except BlockingIOError:
        log.warning(
            "the outbox in %s belongs to another edge-agent: no question of this one waits for the cloud", folder
        )
    except (OSError, sqlite3.Error) as error:
        log.warning("the outbox in %s cannot be used (%s): no question waits for the cloud", folder, error)
    try:
        yield outbox
    finally:
        if outbox is not None:
            outbox.close()
        if handle >= 0:
            os.close(handle)
