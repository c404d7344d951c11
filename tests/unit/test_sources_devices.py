"""Cameras and microphones that block, vanish and come back; two sources side by side."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from agents import frame, tone
from edge_agent.clock import ManualClock
from edge_agent.errors import InputError
from edge_agent.sources import microphone as microphone_module
from edge_agent.sources.base import Item, Source, clean_samples
from edge_agent.sources.merge import merge
from edge_agent.sources.microphone import MicrophoneSource, record
from edge_agent.sources.replay import ReplaySource
from edge_agent.sources.supervisor import MOST_DELAY_S, Supervisor
from edge_agent.types import AudioWindow, Frame


class FakeSounddevice:
    """A sounddevice module whose streams call back a given number of times at once."""

    class PortAudioError(Exception): ...

    def __init__(self, blocks: int, *, refuse: bool = False) -> None:
        self._blocks = blocks
        self._refuse = refuse

    def InputStream(self, **settings: Any) -> Any:
        if self._refuse:
            raise self.PortAudioError("no such device")
        blocks = self._blocks

        class Stream:
            def start(self) -> None:
                for number in range(blocks):
                    block = np.full((settings["blocksize"], 1), number / 1000, np.float32)
                    settings["callback"](block, len(block), None, None)

            def close(self) -> None: ...

        return Stream()


def test_a_microphone_records_what_was_asked_for() -> None:
    sound = asyncio.run(record(0.5, module=FakeSounddevice(20)))
    assert sound.duration_s == pytest.approx(0.5)
    assert sound.samples[0] == 0.0


def test_what_a_driver_makes_up_becomes_silence_or_full_scale() -> None:
    samples = clean_samples(np.array([np.nan, np.inf, -np.inf, 1e38, -2.0, 0.25], np.float32))
    assert samples.tolist() == [0.0, 0.0, 0.0, 1.0, -1.0, 0.25]


def test_sound_that_nobody_takes_is_dropped_and_counted() -> None:
    async def overflow() -> tuple[int, float]:
        microphone = MicrophoneSource(module=FakeSounddevice(80))
        await microphone.open()
        await asyncio.sleep(0)
        async for item in microphone:
            assert isinstance(item, AudioWindow)
            return microphone.dropped, float(item.samples[0])
        raise AssertionError("no sound")

    dropped, first = asyncio.run(overflow())
    assert dropped == 30
    assert first == pytest.approx(0.030)


def test_a_microphone_that_is_not_there_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no such device"):
        asyncio.run(record(0.5, module=FakeSounddevice(0, refuse=True)))


def test_a_microphone_that_was_plugged_in_again_is_looked_for_again() -> None:
    calls: list[str] = []

    class Replugged(FakeSounddevice):
        def _terminate(self) -> None:
            calls.append("terminate")

        def _initialize(self) -> None:
            calls.append("initialize")

    async def twice() -> None:
        for _ in range(2):
            microphone = MicrophoneSource("USB", Replugged(1))
            await microphone.open()
            await microphone.close()

    asyncio.run(twice())
    assert calls == ["terminate", "initialize"] * 2


def test_a_microphone_whose_end_hangs_does_not_block_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone_module, "CLOSE_S", 0.05)
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def close() -> None:
        begun.set()
        release.wait(30)
        ended.set()

    async def run() -> tuple[bool, bool]:
        microphone = MicrophoneSource(module=FakeSounddevice(1))
        await microphone.open()
        microphone._stream.close = close
        await asyncio.wait_for(microphone.close(), 20)
        return begun.is_set(), ended.is_set()

    was = asyncio.run(run())
    release.set()
    assert was == (True, False)  # it went on while the device's own end still hung


LOST = InputError("unplugged")


def test_a_lost_source_is_opened_again_with_growing_delay() -> None:
    clock = ManualClock()
    refusals = [ReplaySource([], refuse=LOST)] * 12
    plans = [ReplaySource([frame(1)], LOST), *refusals, ReplaySource([frame(2)], LOST), ReplaySource([frame(3)])]
    waits: list[float] = []

    async def watch() -> list[int]:
        supervisor = Supervisor(lambda: plans.pop(0), clock, random.Random(1))
        await supervisor.open()
        seen = []
        async for item in supervisor:
            assert isinstance(item, Frame)
            waits.append(clock.monotonic_s())
            seen.append(int(item.pixels[0, 0, 0]))
            if len(seen) == 3:
                assert supervisor.health.state == "open"
                assert supervisor.health.losses == 2
                assert supervisor.health.last_error == "unplugged"
                await supervisor.close()
                break
        return seen

    assert asyncio.run(watch()) == [1, 2, 3]
    assert 100 < waits[1] < 13 * MOST_DELAY_S, "twelve refusals grow the delay up to its limit"
    assert waits[2] - waits[1] < 1.0, "what arrives resets the delay"


def test_a_source_that_cannot_be_opened_at_first_is_the_users_to_mend() -> None:
    supervisor = Supervisor(lambda: ReplaySource([], refuse=LOST), ManualClock(), random.Random(1))
    with pytest.raises(InputError, match="unplugged"):
        asyncio.run(supervisor.open())


def test_nothing_is_hoarded_between_the_sources_and_a_slow_taker() -> None:
    made = 0

    class Counting(ReplaySource):
        async def __aiter__(self) -> AsyncIterator[Item]:
            nonlocal made
            for _ in range(100):
                made += 1
                yield frame()

    async def take_three() -> None:
        taken = 0
        async for _ in merge([Counting([])]):
            taken += 1
            await asyncio.sleep(0.01)
            if taken == 3:
                break

    asyncio.run(take_three())
    assert made <= 6


def test_microphone_and_camera_share_one_time() -> None:
    clock = ManualClock(monotonic_s=500.0)

    async def first() -> float:
        microphone = MicrophoneSource(module=FakeSounddevice(1), clock=clock)
        await microphone.open()
        async for item in microphone:
            assert isinstance(item, AudioWindow)
            return item.start_s
        raise AssertionError("no sound")

    assert asyncio.run(first()) == pytest.approx(499.9)


def test_two_sources_are_one_stream_and_an_error_of_either_ends_it() -> None:
    async def collect(*sources: Source) -> list[Item]:
        return [item async for item in merge(sources)]

    pictures, sounds = ReplaySource([frame(1), frame(2)]), ReplaySource([tone(0.1)] * 3)
    items = asyncio.run(collect(pictures, sounds))
    assert sum(isinstance(i, Frame) for i in items) == 2
    assert sum(isinstance(i, AudioWindow) for i in items) == 3
    with pytest.raises(InputError, match="unplugged"):
        asyncio.run(collect(ReplaySource([frame(1)], LOST), ReplaySource([tone(0.1)])))
