"""When a mask was drawn: what was seen before it is not shown, and a question is about the next picture."""

from __future__ import annotations

import asyncio

import numpy as np

from agents import LIMITS, Bench, FixedPolicy, GreyExtractor, frame
from edge_agent.api.senses import NEXT_S, Senses
from edge_agent.clock import ManualClock
from edge_agent.config import TriggerSettings
from edge_agent.types import U8, Frame, ImageFeatures, MotionFeatures, Route
from edge_agent.watch import Watcher

FRAME = Frame(np.zeros((4, 4, 3), np.uint8), 0.0)


class CameraClock(ManualClock):
    """The camera shows its next picture when somebody has slept until `at_s`."""

    def __init__(self, at_s: float) -> None:
        super().__init__()
        self.at_s, self.shown = at_s, False
        self.senses: Senses | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.monotonic_s() >= self.at_s and not self.shown and self.senses is not None:
            self.shown, self.senses.seen_s = True, self.monotonic_s()
            self.senses.look_back.add(FRAME)


def waited(at_s: float, forgets: bool = True, watching: bool = True) -> tuple[float, bool]:
    """How long a question waited, and whether it has a picture then; the camera's next one comes at `at_s`."""
    clock = CameraClock(at_s)
    senses = clock.senses = Senses(clock, watching=watching)
    if forgets:
        senses.forget()
    asyncio.run(senses.look_again())
    return clock.monotonic_s(), senses.moment("what is this?", False, "a camera") is not None


def test_a_question_waits_for_the_picture_that_comes_after_a_mask() -> None:
    took, seen = waited(0.2)
    assert seen
    assert 0.2 <= took < 0.3


def test_it_does_not_wait_for_ever_nor_where_nothing_was_forgotten() -> None:
    took, seen = waited(5.0)
    assert not seen
    assert NEXT_S <= took < NEXT_S + 0.1
    assert waited(5.0, forgets=False) == (0.0, False)
    gone = Senses(clock := ManualClock(), watching=True)
    gone.forget()
    clock.advance(NEXT_S)
    asyncio.run(gone.look_again())
    assert clock.monotonic_s() == NEXT_S  # the camera has vanished since
    assert waited(5.0, watching=False) == (0.0, False)


class DrawnOver(GreyExtractor):
    """Somebody draws a mask while the features of the first frame are looked for."""

    def __init__(self, senses: Senses) -> None:
        super().__init__()
        self.senses = senses

    def vision(self, pixels: U8) -> tuple[ImageFeatures, MotionFeatures]:
        if not self.senses.forgotten:
            self.senses.forget()
        return super().vision(pixels)


def test_a_frame_that_was_on_its_way_when_a_mask_was_drawn_is_not_shown() -> None:
    senses = Senses(ManualClock(), watching=True)
    settings = TriggerSettings(on_change=True, min_gap_s=0.0)
    agent = Bench(FixedPolicy(Route.LOCAL)).agent
    watcher = Watcher(
        agent, DrawnOver(senses), settings, LIMITS, lambda _: None, look_back=senses.look_back, witness=senses
    )
    asyncio.run(watcher._take(frame(50, 0)))
    assert senses.frame is None
    assert senses.frames == 0
    assert watcher._automatic is None
    later = frame(200, 1)
    asyncio.run(watcher._take(later))
    assert senses.frame is later
