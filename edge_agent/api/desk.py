"""Where all questions of this device queue up: one is answered at a time, some wait, more are refused."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from edge_agent.api.refusals import Refusal
from edge_agent.clock import Clock
from edge_agent.engines.base import PLAIN, Manner
from edge_agent.errors import EdgeAgentError, NoAnswerError
from edge_agent.parts import Limits, OnProvisional, OnToken
from edge_agent.types import Answer, Observation, Route

RECORDS = 100
RETRY_AFTER_S = 1


class Agent(Protocol):
    """What the desk needs of edge_agent.agent.Agent."""

    async def ask(
        self,
        observation: Observation,
        limits: Limits,
        on_token: OnToken | None = None,
        *,
        manner: Manner = PLAIN,
        route: Route | None = None,
        on_provisional: OnProvisional | None = None,
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a question ended. `origin`: who asked; `total_s` with waiting; `first_token_s` None where none came."""

    origin: str
    outcome: str  # answered, refused (no answer within the limits), failed, cancelled
    answer: Answer | None
    total_s: float
    first_token_s: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """A question for the page. `question` is None for a private one; `trigger`: what or who asked."""

    number: int
    time_s: float
    trigger: str
    question: str | None
    answer: Answer | None
    error: str | None


def figures_of(answer: Answer) -> dict[str, Any]:
    """How an answer came about, for whoever shows records; its words are not among them."""
    return {
        "route": answer.route,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "latency_ms": answer.timings_ms.get("total", 0.0),
        "bytes_up": answer.bytes_up,
        "cost_usd": answer.cost_usd,
    }


class Desk:
    """Asks one agent for everybody. Waiting counts against a question's deadline.

    `open` must be given the agent first. `ended` is called for every question, however it ends.
    """

    def __init__(self, clock: Clock, most_waiting: int, ended: Callable[[Ended], None] = lambda _: None) -> None:
        self._clock = clock
        self._most_waiting = most_waiting
        self._ended = ended
        self._lock = asyncio.Lock()
        self._agent: Agent | None = None
        self._closing = ""
        self._numbers = 0
        self.inside = 0  # being answered or waiting
        self.records: deque[Record] = deque(maxlen=RECORDS)
        self.recorded: list[Callable[[Record], None]] = []  # who is told of each record

    def open(self, agent: Agent) -> None:
        """From now on, questions are answered."""
        self._agent = agent

    async def drain(self, most_s: float) -> None:
        """From now on, questions are refused; those inside have `most_s` to be answered."""
        self._closing = "the agent is stopping"
        until_s = self._clock.monotonic_s() + most_s
        while self.inside and self._clock.monotonic_s() < until_s:
            await self._clock.sleep(0.02)

    def admit(self) -> None:
        """Refuse early, before a request's body is read. Raises Refusal 503 or 429."""
        if self._closing or self._agent is None:
            words = self._closing or "the agent is still starting"
            raise Refusal(503, words, "ask again in a moment", code="not_ready", retry_after_s=RETRY_AFTER_S)
        if self.inside > self._most_waiting:
            words = f"{self._most_waiting} questions are waiting already"
            raise Refusal(429, words, "ask again later", code="busy", retry_after_s=RETRY_AFTER_S)

    async def ask(
        self,
        observation: Observation,
        limits: Limits,
        on_token: OnToken | None = None,
        *,
        manner: Manner = PLAIN,
        route: Route | None = None,
        origin: str = "watch",
        on_provisional: OnProvisional | None = None,
    ) -> Answer:
        """As Agent.ask, in turn. Raises what it raises, and Refusal where too many wait."""
        self.admit()
        agent, started_s = self._agent, self._clock.monotonic_s()
        assert agent is not None  # admit has seen to it
        first_s: list[float] = []

        def seen(by: Route, event: object) -> None:
            if not first_s:
                first_s.append(self._clock.monotonic_s() - started_s)
            if on_token is not None:
                on_token(by, event)  # type: ignore[arg-type]

        outcome, answer = "cancelled", None
        self.inside += 1
        try:
            await self._turn(limits)
            try:
                left_ms = limits.deadline_ms - (self._clock.monotonic_s() - started_s) * 1000
                timed = replace(limits, deadline_ms=left_ms)
                answer = await agent.ask(
                    observation, timed, seen, manner=manner, route=route, on_provisional=on_provisional
                )
            finally:
                self._lock.release()
            outcome = "answered"
            return answer
        except EdgeAgentError as error:
            outcome = "refused" if isinstance(error, NoAnswerError) else "failed"
            raise
        finally:
            self.inside -= 1
            total_s = self._clock.monotonic_s() - started_s
            first = first_s[0] if first_s else None if answer is None else total_s
            self._ended(Ended(origin, outcome, answer, total_s, first))

    def record(self, trigger: str, question: str | None, answer: Answer | None, error: str | None) -> Record:
        """Keep what became of a question, for the page; the words of a private one are not given here."""
        self._numbers += 1
        made = Record(self._numbers, self._clock.wall_s(), trigger, question, answer, error)
        self.records.append(made)
        for tell in self.recorded:
            tell(made)
        return made

    async def _turn(self, limits: Limits) -> None:
        """Wait until it is this question's turn. Raises NoAnswerError at the deadline.

        A turn that comes in the very moment in which the client goes away is given back, and the question ends.
        """
        taking = asyncio.create_task(self._lock.acquire())
        try:
            await asyncio.wait({taking}, timeout=limits.deadline_ms / 1000)
            if not taking.done():
                words = "the time ran out while other questions were answered"
                raise NoAnswerError(words, f"the deadline was {limits.deadline_ms:g} ms; ask less, or allow more")
        except BaseException:
            taking.cancel()
            taking.add_done_callback(self._give_back)
            raise

    def _give_back(self, taking: asyncio.Task[Literal[True]]) -> None:
        if not taking.cancelled():
            self._lock.release()
