"""Continuous watching: frames and sound come in, triggers and people ask, answers go out; the source never waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import replace

from edge_agent.asked import Asked, Asker, Keeper, Listener, Person, Witness
from edge_agent.config import TriggerSettings
from edge_agent.errors import EdgeAgentError, NoAnswerError
from edge_agent.look_back import LookBack
from edge_agent.overdue import Overdue
from edge_agent.parts import Extractor, Limits
from edge_agent.triggers import Firing, Triggers
from edge_agent.types import AudioWindow, Frame, Observation

MAX_ASKED = 8
KEEP_S, KEEP_SHARE = 0.1, 0.05  # of a deadline, the smaller: for keeping a question whose answer took all the time
log = logging.getLogger(__name__)


class Watcher:
    """One source, one agent, one answer at a time.

    Of the automatic questions one waits, and a newer one replaces it (`replaced` counts); people's questions are
    never replaced: up to MAX_ASKED wait, more are refused, and waiting counts against the deadline. A `patient` watcher
    lets the source wait instead of replacing a question: for files that are played faster than answers come. `room`,
    where it is set, is awaited behind each answer: until whoever hears them has taken enough of them.
    """

    def __init__(
        self,
        agent: Asker,
        extractor: Extractor,
        settings: TriggerSettings,
        limits: Limits,
        on_asked: Callable[[Asked], None],
        *,
        private: bool = False,
        source: str = "",
        progress: Callable[[], None] = lambda: None,
        patient: bool = False,
        look_back: LookBack | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._agent = agent
        self._extractor = extractor
        self._settings = settings
        self._triggers = Triggers(settings)
        self._limits = limits
        self._on_asked = on_asked
        self._private = private
        self.source = source
        self._progress = progress
        self._patient = patient
        self.keeper: Keeper | None = None
        self.room: Callable[[], Awaitable[None]] | None = None
        self._overdue = Overdue()
        self.listener: Listener | None = None
        self._answered = asyncio.Event()
        self._look_back = look_back or LookBack()
        self._witness = witness
        self._asked: deque[Person] = deque()
        self._automatic: tuple[Firing, Observation] | None = None
        self._wake = asyncio.Event()
        self._ended = False
        self._now_s = 0.0
        self.replaced = 0

    async def run(self, items: AsyncIterable[Frame | AudioWindow]) -> None:
        """Watch until the source ends, then answer what still waits. Errors of one question do not end the watch."""
        for one in self._asked:  # asked before the watch began
            self._arm(one)
        answering = asyncio.create_task(self._answer_waiting())
        watching = asyncio.create_task(self._watch(items))
        try:
            # Whoever fails first ends the other: frames without anybody who answers would look like a healthy service.
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not watching.done():
                await answering
            await watching
            self._ended = True
            self._wake.set()
            await answering
        finally:
            answering.cancel()
            watching.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)

    def change(self, settings: TriggerSettings, limits: Limits) -> None:
        """Other triggers and limits from now on."""
        self._settings, self._limits = settings, limits
        self._triggers.change(settings)

    async def _watch(self, items: AsyncIterable[Frame | AudioWindow]) -> None:
        async for item in items:
            await self._take(item)
            self._progress()

    def ask(self, question: str) -> bool:
        """Queue a person's question about now, or about the first frame to come; False if too many wait."""
        if len(self._asked) >= MAX_ASKED:
            return False
        observation = self._look_back.observe(question, self._private, self.source)
        one = Person(question, Firing("asked", 0.0, self._now_s), observation)
        self._asked.append(one)
        self._arm(one)
        self._wake.set()
        return True

    def _arm(self, one: Person) -> None:
        """Let a question that waits be refused at its deadline; without an event loop, `run` does it."""
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            one.until_s = loop.time() + self._limits.deadline_ms / 1000
            one.timer = loop.call_at(one.until_s, self._refuse, one)

    def _refuse(self, one: Person) -> None:
        """A question that still waits at its deadline, or at the end."""
        if one not in self._asked:
            return
        self._asked.remove(one)
        if one.timer is not None:
            one.timer.cancel()
        waited_for = "a first frame" if one.observation is None else "other questions"
        error = NoAnswerError(f"the time ran out while waiting for {waited_for}", "ask again, or less at a time")
        self._on_asked(Asked(one.firing, one.question, None, str(error)))

    async def _take(self, item: Frame | AudioWindow) -> None:
        self._look_back.add(item)
        if isinstance(item, Frame):
            self._now_s = item.timestamp_s
            for one in self._asked:
                if one.observation is None:
                    one.firing = Firing("asked", 0.0, self._now_s)
                    one.observation = self._look_back.observe(one.question, self._private, self.source)
                    self._wake.set()
            image, motion = await asyncio.to_thread(self._extractor.vision, item.pixels)
            if not self._look_back.holds(item):
                return  # forgotten meanwhile: a mask was drawn that it does not have yet
            if self._witness is not None:
                self._witness.saw(item, image, motion)
            firing = self._triggers.frame(motion, item.timestamp_s)
        else:
            sound = await asyncio.to_thread(self._extractor.sound, item.samples, item.rate_hz)
            if self._witness is not None:
                self._witness.heard(item, sound)
            speech = None if self.listener is None else await self.listener.listen(item)
            firing = None if speech is None else self._triggers.speech(speech, item.start_s)
            firing = firing or self._triggers.sound(sound, item.start_s)
        if firing is None:
            return
        observation = self._look_back.observe(self._settings.question, self._private, self.source)
        if observation is not None:
            self.replaced += self._automatic is not None
            self._automatic = (firing, observation)
            self._wake.set()
            while self._patient and self._automatic is not None:
                self._answered.clear()
                await self._answered.wait()

    def _next(self) -> tuple[Firing, Observation, float | None] | None:
        if self._asked and (observation := self._asked[0].observation) is not None:
            one = self._asked.popleft()
            if one.timer is not None:
                one.timer.cancel()
            return one.firing, observation, one.until_s
        automatic, self._automatic = self._automatic, None
        return None if automatic is None else (*automatic, None)

    async def _answer_waiting(self) -> None:
        while True:
            waiting = self._next()
            self._answered.set()
            if waiting is None and self._ended:
                for one in tuple(self._asked):
                    self._refuse(one)
                return
            if waiting is None:
                self._wake.clear()
                await self._idle()
                continue
            await self._answer(*waiting)
            self._progress()
            if self.room is not None:
                await self.room()
            if self.keeper is not None:
                await self.keeper.in_between(self._say_late)

    async def _answer(self, firing: Firing, observation: Observation, until_s: float | None) -> None:
        question, answer, words, limits = observation.question, None, None, self._limits
        loop = asyncio.get_running_loop()
        if until_s is not None:
            left_ms = (until_s - loop.time()) * 1000
            keep_ms = 0.0 if self.keeper is None else min(KEEP_S * 1000, KEEP_SHARE * left_ms)
            limits = replace(limits, deadline_ms=max(1.0, left_ms - keep_ms))
        try:
            answer = await self._agent.ask(observation, limits)
            away = answer.cloud_away
        except EdgeAgentError as error:
            words, away = str(error), error.cloud_away
        left_s = None if until_s is None else until_s - loop.time()
        kept = await self._kept(self.keeper, firing, observation, left_s) if away and self.keeper is not None else None
        self._on_asked(Asked(firing, question, answer, words, kept))

    async def _kept(self, keeper: Keeper, firing: Firing, observation: Observation, left_s: float | None) -> int | None:
        """The number under which a question waits; None also where the disk does not say so in time."""
        if left_s is None:
            return await keeper.keep(firing, observation)
        try:
            return await self._overdue.by(keeper.keep(firing, observation), left_s, lambda: "keeping the question")
        except NoAnswerError:
            log.warning("the disk is slow: a question was answered before it was kept")
            return None

    async def _idle(self) -> None:
        """Until somebody asks; meanwhile what waited for the cloud is asked again."""
        if self.keeper is None:
            await self._wake.wait()
            return
        catching_up = asyncio.create_task(self.keeper.catch_up(self._say_late))
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({catching_up, woken}, return_when=asyncio.FIRST_COMPLETED)
            if catching_up.done():
                await catching_up
                await woken
        finally:
            catching_up.cancel()
            woken.cancel()
            await asyncio.gather(catching_up, woken, return_exceptions=True)

    def _say_late(self, asked: Asked) -> None:
        self._on_asked(asked)
        self._progress()
