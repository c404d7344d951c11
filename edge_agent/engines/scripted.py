"""An engine that says what it was told to: the fake behind the engine seam, for tests and for trying policies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_agent.clock import Clock
from edge_agent.engines.base import Detail, Query
from edge_agent.errors import EdgeAgentError
from edge_agent.types import AudioWindow, Decision, Embeddings, Frame, Generation, Modality, TokenEvent

YES = Generation("yes", confidence=0.9, max_entropy=0.05, tokens=1)


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: its words, the generation at its end, seconds before the first and between words, or an error."""

    words: tuple[str, ...] = ("yes",)
    end: Generation = YES
    first_after_s: float = 0.0
    between_s: float = 0.0
    error: EdgeAgentError | None = None


class ScriptedEngine:
    """Plays its scripts in order, the last one for ever; keeps every query and counts cancelled answers."""

    def __init__(self, name: str, clock: Clock, scripts: Sequence[Script] = (Script(),)) -> None:
        self.name = name
        self.encodable: tuple[Modality, ...] = (Modality.IMAGE,)
        self.grid: tuple[int, int] | None = None
        self._clock = clock
        self._scripts = list(scripts)
        self.queries: list[Query] = []
        self.encoded = 0
        self.cancelled = 0
        self.closed = False
        self.sends_pictures = False

    async def encode(self, frame: Frame) -> tuple[Embeddings, ...]:
        """A 1x1 embedding that says how bright the picture is."""
        self.encoded += 1
        return (Embeddings(np.full((1, 1), frame.pixels.mean(), dtype=np.float32), "scripted"),)

    async def encode_sound(self, sound: AudioWindow) -> Embeddings:
        """A 1x1 embedding that says how loud the sound is."""
        self.encoded += 1
        loud = np.abs(sound.samples).max(initial=0.0)
        return Embeddings(np.full((1, 1), loud, dtype=np.float32), "scripted-sound", Modality.AUDIO)

    def detail(self, frame: Frame) -> Detail | None:
        """The tiles of `grid`, if there is one, each as bright as the picture."""
        if self.grid is None:
            return None
        rows, columns = self.grid

        async def encode() -> tuple[Embeddings, ...]:
            return tuple([(await self.encode(frame))[0] for _ in range(rows * columns)])

        return Detail(rows, columns, encode)

    async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        """The next script's words as tokens, then its generation; or its error after the first delay."""
        self.queries.append(query)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        finished = False
        try:
            await self._clock.sleep(script.first_after_s)
            if script.error is not None:
                finished = True
                raise script.error
            for at, word in enumerate(script.words):
                await self._clock.sleep(script.between_s if at else 0.0)
                yield TokenEvent(at, word if at == 0 else f" {word}", script.end.confidence, script.end.max_entropy)
            finished = True
            yield replace(script.end, text=" ".join(script.words), tokens=len(script.words))
        finally:
            self.cancelled += not finished

    async def close(self) -> None:
        self.closed = True
