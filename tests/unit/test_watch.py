"""Watching: triggers fire on change, onset and interval behind one rate cap; people's questions are never replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from agents import LIMITS, Bench, FixedPolicy, GreyExtractor, frame, tone
from edge_agent.asked import Asked
from edge_agent.config import TriggerSettings
from edge_agent.engines.scripted import Script
from edge_agent.errors import NoAnswerError
from edge_agent.look_back import LookBack
from edge_agent.parts import Limits
from edge_agent.triggers import Triggers
from edge_agent.types import Answer, AudioWindow, Frame, MotionFeatures, Observation, Route, SoundFeatures
from edge_agent.watch import MAX_ASKED, Watcher

QUIET = TriggerSettings(min_gap_s=0.0)
QUIET_ONLY = TriggerSettings(on_change=False, on_sound=False)


def moved(share: float) -> MotionFeatures:
    return MotionFeatures(share * 255, share, np.zeros((1, 1), np.float32), True)


def flux(value: float) -> SoundFeatures:
    array = np.array([value], np.float32)
    return SoundFeatures(16000, 512, 160, array, array, array, array, array)


def test_change_fires_on_the_first_frame_and_above_its_threshold() -> None:
    triggers = Triggers(QUIET)
    fired = [triggers.frame(moved(share), at) for at, share in enumerate([0.0, 0.1, 0.5, 0.1])]
    assert [f.trigger if f else None for f in fired] == ["change", None, "change", None]


def test_an_onset_stands_out_of_what_is_usual() -> None:
    triggers = Triggers(QUIET)
    fired = [triggers.sound(flux(v), at) for at, v in enumerate([1.0, 1.1, 0.9, 1.0, 9.0, 1.0])]
    assert [f is not None for f in fired] == [False] * 4 + [True, False]


def test_loud_but_steady_noise_and_silence_fire_nothing() -> None:
    for level in (0.0, 50.0):
        triggers = Triggers(QUIET)
        assert all(triggers.sound(flux(level), at) is None for at in range(20))


def test_the_rate_cap_holds_over_all_triggers() -> None:
    triggers = Triggers(TriggerSettings(min_gap_s=5.0))
    fired = [triggers.frame(moved(0.9), at) for at in range(11)]
    assert [at for at, f in enumerate(fired) if f] == [0, 5, 10]


def test_the_interval_asks_without_change() -> None:
    triggers = Triggers(replace(QUIET, on_change=False, interval_s=3.0))
    fired = [triggers.frame(moved(0.0), at) for at in range(8)]
    assert [at for at, f in enumerate(fired) if f] == [3, 6]


def test_an_interval_that_the_rate_cap_holds_back_comes_as_soon_as_it_may() -> None:
    triggers = Triggers(TriggerSettings(interval_s=10.0, min_gap_s=5.0))
    fired = [triggers.frame(moved(0.9 if at == 8 else 0.0), at) for at in range(20)]
    assert [(at, f.trigger) for at, f in enumerate(fired) if f] == [(0, "change"), (8, "change"), (13, "interval")]


def test_look_back_is_bounded_and_about_now() -> None:
    back = LookBack()
    assert back.observe("?", False, "") is None
    for at in range(100):
        back.add(frame(at, at))
        back.add(tone(0.1, at * 0.1))
    seen = back.observe("?", True, "clip")
    assert seen is not None
    assert seen.private
    assert seen.frames[-1].timestamp_s == 99
    assert len(seen.frames) <= 4
    assert seen.audio is not None
    assert 2.0 <= seen.audio.duration_s <= 2.2


async def play(items: Sequence[Frame | AudioWindow]) -> AsyncIterator[Frame | AudioWindow]:
    for item in items:
        yield item
        await asyncio.sleep(0)


def watch(bench: Bench, items: Sequence[Frame | AudioWindow], questions: Sequence[str] = ()) -> list[Asked]:
    asked: list[Asked] = []
    watcher = Watcher(bench.agent, GreyExtractor(), QUIET, LIMITS, asked.append, source="test")

    async def all_of_it() -> None:
        async def with_questions() -> AsyncIterator[Frame | AudioWindow]:
            async for item in play(items):
                yield item
                if item is items[0]:
                    await asyncio.sleep(0)
                    for question in questions:
                        watcher.ask(question)

        await watcher.run(with_questions())

    asyncio.run(all_of_it())
    return asked


def test_a_cut_scene_is_asked_about_and_a_still_one_is_not() -> None:
    asked = watch(Bench(FixedPolicy(Route.LOCAL)), [frame(50, 0), frame(50, 1), frame(200, 2), frame(200, 3)])
    assert asked[-1].firing.at_s == 2
    assert asked[-1].firing.trigger == "change"
    assert asked[-1].answer is not None
    assert all(a.firing.at_s in (0, 2) for a in asked)


def test_every_question_of_a_person_is_answered() -> None:
    items = [frame(50 + 100 * (at % 2), at) for at in range(20)]
    asked = watch(Bench(FixedPolicy(Route.LOCAL)), items, ["one?", "two?", "three?"])
    assert [a.question for a in asked if a.firing.trigger == "asked"] == ["one?", "two?", "three?"]


def test_too_many_questions_are_refused_not_hoarded() -> None:
    async def fill() -> list[bool]:
        watcher = Watcher(Bench(FixedPolicy(Route.LOCAL)).agent, GreyExtractor(), QUIET, LIMITS, lambda _: None)
        await watcher._take(frame())
        return [watcher.ask("?") for _ in range(MAX_ASKED + 2)]

    assert asyncio.run(fill()) == [True] * MAX_ASKED + [False, False]


def test_a_question_before_the_first_frame_is_about_the_first_frame() -> None:
    asked: list[Asked] = []
    watcher = Watcher(Bench(FixedPolicy(Route.LOCAL)).agent, GreyExtractor(), QUIET, LIMITS, asked.append)
    assert [watcher.ask("early?") for _ in range(MAX_ASKED + 1)] == [True] * MAX_ASKED + [False]
    asyncio.run(watcher.run(play([frame(50, 3.0)])))
    assert [a.question for a in asked].count("early?") == MAX_ASKED
    assert all(a.firing.at_s == 3.0 for a in asked)


def test_waiting_counts_against_a_deadline() -> None:
    """The first question is answered for ever; the others are refused at their deadline, not after it."""
    asked: list[Asked] = []

    class Stuck:
        async def ask(self, observation: Observation, limits: Limits) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError("never")

    async def run() -> None:
        watcher = Watcher(Stuck(), GreyExtractor(), QUIET_ONLY, replace(LIMITS, deadline_ms=50.0), asked.append)

        async def items() -> AsyncIterator[Frame | AudioWindow]:
            assert watcher.ask("before the first frame?")
            await asyncio.sleep(0.2)
            yield frame()
            assert all(watcher.ask(question) for question in ("one?", "two?"))
            await asyncio.Event().wait()

        watching = asyncio.create_task(watcher.run(items()))
        while len(asked) < 2:  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.005)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 20))
    assert [a.question for a in asked] == ["before the first frame?", "two?"]
    assert "waiting for a first frame" in str(asked[0].error)
    assert "waiting for other questions" in str(asked[1].error)


def test_what_is_left_of_a_deadline_is_what_the_agent_gets() -> None:
    given: list[float] = []

    class Noting:
        async def ask(self, observation: Observation, limits: Limits) -> Answer:
            given.append(limits.deadline_ms)
            await asyncio.sleep(0.05)
            raise NoAnswerError("no")

    watcher = Watcher(Noting(), GreyExtractor(), QUIET_ONLY, replace(LIMITS, deadline_ms=60_000.0), lambda _: None)
    assert watcher.ask("one?")
    assert watcher.ask("two?")
    asyncio.run(watcher.run(play([frame()])))
    assert given[0] <= 60_000
    assert given[1] <= given[0] - 49


def test_a_source_that_ends_without_a_frame_refuses_what_waits() -> None:
    asked: list[Asked] = []
    watcher = Watcher(Bench(FixedPolicy(Route.LOCAL)).agent, GreyExtractor(), QUIET, LIMITS, asked.append)
    assert watcher.ask("early?")
    asyncio.run(watcher.run(play([])))
    assert [a.question for a in asked] == ["early?"]
    assert asked[0].answer is None


def test_an_error_of_one_question_does_not_end_the_watch() -> None:
    scripts = [Script(error=NoAnswerError("the time ran out")), Script(("cup",))]
    asked = watch(Bench(FixedPolicy(Route.LOCAL), local_scripts=scripts), [frame(50, 0)], ["still there?"])
    assert {a.error for a in asked} == {"the time ran out", None}


def test_an_agent_that_breaks_ends_the_watch_though_frames_keep_coming() -> None:
    class Broken:
        async def ask(self, observation: Observation, limits: Limits) -> Answer:
            raise RuntimeError("a bug")

    async def for_ever() -> AsyncIterator[Frame | AudioWindow]:
        while True:
            yield frame()
            await asyncio.sleep(0)

    watcher = Watcher(Broken(), GreyExtractor(), QUIET, LIMITS, lambda _: None)
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(asyncio.wait_for(watcher.run(for_ever()), 20))


def test_a_stopped_watch_leaves_no_answer_running() -> None:
    running = asyncio.Event()
    ended = asyncio.Event()

    class Slow:
        async def ask(self, observation: Observation, limits: Limits) -> Answer:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.set()
            raise AssertionError("never")

    async def for_ever() -> AsyncIterator[Frame | AudioWindow]:
        yield frame()
        await asyncio.Event().wait()

    async def stop() -> None:
        watching = asyncio.create_task(Watcher(Slow(), GreyExtractor(), QUIET, LIMITS, lambda _: None).run(for_ever()))
        await running.wait()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        assert ended.is_set()

    asyncio.run(stop())


def test_a_source_that_fails_ends_the_watch_with_its_error() -> None:
    async def broken() -> AsyncIterator[Frame | AudioWindow]:
        yield frame()
        raise OSError("gone")

    watcher = Watcher(Bench(FixedPolicy(Route.LOCAL)).agent, GreyExtractor(), QUIET, LIMITS, lambda _: None)
    with pytest.raises(OSError, match="gone"):
        asyncio.run(watcher.run(broken()))
