"""The edges of a watcher: a question and what became of it, and who answers, witnesses, listens and keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_agent.parts import Limits
from edge_agent.triggers import Firing
from edge_agent.types import Answer, AudioWindow, Frame, ImageFeatures, MotionFeatures, Observation, SoundFeatures


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that came up while watching, and what became of it: an answer, or an error in one line.

    `kept`: it also waits for the cloud, under this number. `asked_s`: it waited, and was asked at this wall time.
    """

    firing: Firing
    question: str
    answer: Answer | None
    error: str | None = None
    kept: int | None = None
    asked_s: float | None = None


@dataclass(slots=True, eq=False)
class Person:
    """A person's question that waits for its turn; `observation` None: for the first frame, too. `timer` refuses it at
    `until_s` of the event loop's time.
    """

    question: str
    firing: Firing
    observation: Observation | None
    until_s: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Witness(Protocol):
    """Who is told everything that is seen and heard, with its features."""

    def saw(self, frame: Frame, image: ImageFeatures, motion: MotionFeatures) -> None: ...

    def heard(self, window: AudioWindow, sound: SoundFeatures) -> None: ...


class Asker(Protocol):
    """What answers: an edge_agent.agent.Agent, or something that asks several."""

    async def ask(self, observation: Observation, limits: Limits) -> Answer: ...


class Listener(Protocol):
    """Who tells speech from other sound."""

    async def listen(self, window: AudioWindow) -> float | None:
        """How likely somebody began to speak in this chunk of sound; None where nobody did, or nobody cares."""
        ...


class Keeper(Protocol):
    """Where questions wait for a cloud that is away."""

    async def keep(self, firing: Firing, observation: Observation) -> int | None:
        """Keep a question, if it is one to be kept; its number once that is safe."""
        ...

    async def catch_up(self, say: Callable[[Asked], None]) -> None:
        """Ask what waits, one after the other, until cancelled: somebody asks now."""
        ...

    async def in_between(self, say: Callable[[Asked], None]) -> None:
        """Ask the oldest that waits, where questions of now never cease and it is its turn; briefly."""
        ...
