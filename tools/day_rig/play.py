"""The day itself: mishaps at their times, questions all the time, and healing at the end."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from edge_agent.cli.build import extractor_factory, open_agent, open_model
from edge_agent.cli.cloud_process import CloudProcess
from edge_agent.cli.keeping import keeping
from edge_agent.cli.options import limits_of
from edge_agent.config import Loaded, load
from edge_agent.monitors import device
from edge_agent.service.heap import small_heap
from edge_agent.sources.camera import CameraSource
from edge_agent.sources.merge import merge
from edge_agent.sources.microphone import MicrophoneSource
from edge_agent.sources.supervisor import Supervisor
from edge_agent.store.outbox import Outbox
from edge_agent.watch import Watcher
from tools.day_rig.books import Books
from tools.day_rig.devices import Board, Cameras, Disk, JumpingClock, Sounddevice
from tools.day_rig.gauges import EVERY_S, Gauges
from tools.day_rig.link import CUT, HOLE, OK, SLOW, Relay
from tools.day_rig.witness import Witness

DAY_MINUTES = 20.0  # a whole day: the number of mishaps is in proportion
CAMERA_LOSSES, LINK_CHANGES, REPLUGS, RESTARTS, FULL_DISKS, JUMPS, HOT_SPELLS = 50, 60, 12, 6, 6, 8, 8
QUESTIONS = ("what is in the picture?", "what colour is the bar?", "is it bright?", "how many bars are there?")
HEAL_S = 900.0
CLIENTS, AT_A_TIME = 6, 3  # each asks one to so many questions at once, then pauses
CONFIG = """
[run]
state_dir = "{folder}"
[cloud]
url = "http://127.0.0.1:{port}"
connect_timeout_ms = 1500
usd_per_question = 0.00001
[limits]
deadline_ms = {deadline_ms}
budget_usd_per_day = 100.0
max_celsius = 85.0
[policy]
name = "{policy}"
[model]
edge = "{model}"
[trigger]
min_gap_s = 3.0
[outbox]
keep = "all"
max_mb = 200
quiet_s = 0.05
"""


class Day:
    """One day of `minutes`, from `seed`. `run` plays it; then `books`, `gauges`, `mishaps` and `outbox` tell."""

    def __init__(
        self,
        folder: Path,
        minutes: float,
        seed: int,
        rate: float,
        deadline_s: float,
        policy: str,
        model: str,
        cloud_arguments: tuple[str, ...] = (),
        camera_losses: int | None = None,
    ) -> None:
        self._folder, self._minutes, self._rng = folder, minutes, random.Random(seed)
        self._rate, self._deadline_s, self._policy, self._model = rate, deadline_s, policy, model
        self._cloud_arguments = cloud_arguments
        self.witness = Witness()
        self.books, self.gauges = Books(deadline_s, self.witness), Gauges()
        self.late_among_others = 0
        self.camera_points: dict[tuple[str, str], int] = {}
        self.mishaps: Counter[str] = Counter()
        self.outbox: dict[str, int] = {}
        self.still_waiting: set[int] = set()
        self._relay, self._clock, self._board, self._disk = Relay(), JumpingClock(), Board(), Disk()
        self._module = Sounddevice()
        self.camera_losses_wanted = camera_losses or self._times(CAMERA_LOSSES)
        self._cameras = Cameras(random.Random(seed + 1), self.camera_losses_wanted, minutes * 60)
        self._cloud: CloudProcess | None = None

    async def run(self) -> None:
        """Play the day."""
        board = self._board
        vars(device).update(hottest_celsius=lambda: board.celsius, memory_available_mb=lambda: board.memory_mb)
        self.witness.start()
        await self._relay.start()
        await self._start_cloud()
        try:
            async with small_heap(self._clock):
                await self._live(self._configured())
        finally:
            self.witness.stop()
            self._disk.clear()
            await self._relay.close()
            if self._cloud is not None:
                await self._cloud.stop()

    def _configured(self) -> Loaded:
        path = self._folder / "config.toml"
        facts = {"folder": self._folder, "port": self._relay.port, "policy": self._policy, "model": self._model}
        path.write_text(CONFIG.format(**facts, deadline_ms=self._deadline_s * 1000), encoding="utf-8")
        return load(path)

    async def _live(self, loaded: Loaded) -> None:
        model = await asyncio.to_thread(open_model, loaded.config)
        now_s = asyncio.get_running_loop().time
        async with open_agent(loaded.config, model, self._clock) as agent, AsyncExitStack() as stack:
            sources = self._sources()
            for source in sources:
                await source.open()
                stack.push_async_callback(source.close)
            watcher = Watcher(
                agent,
                extractor_factory(loaded.config)(),
                loaded.config.trigger,
                limits_of(loaded),
                lambda asked: self.books.ended(asked, now_s()),
            )
            watcher.keeper = stack.enter_context(keeping(loaded, agent, None, self._clock))
            watching = asyncio.create_task(watcher.run(merge(sources)))
            await self._while_it_lives(watching, watcher)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self.camera_points = dict(self._cameras.points)
            self.mishaps.update({f"{source.describe()} lost": source.health.losses for source in sources})

    def _sources(self) -> list[Supervisor]:
        cameras, clock = self._cameras, self._clock
        return [
            Supervisor(lambda: CameraSource("rig", clock=clock, command=cameras), clock, self._rng),
            Supervisor(lambda: MicrophoneSource("rig", self._module, clock), clock, self._rng),
        ]

    async def _while_it_lives(self, watching: asyncio.Task[None], watcher: Watcher) -> None:
        works = [self._ask(watcher), self._measure(), *self._all_mishaps()]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait({watching}, timeout=self._minutes * 60)
            for task in tasks[:1] + tasks[2:]:
                task.cancel()
            await asyncio.gather(*tasks[:1], *tasks[2:], return_exceptions=True)
            await self._heal(watching)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if watching.done():
            await watching

    async def _heal(self, watching: asyncio.Task[None]) -> None:
        """Everything works again: what is open ends, and what waits is answered."""
        self.late_among_others = len(self.books.late)
        self._relay.change(OK)
        self._disk.clear()
        self._module.plugged, self._board.celsius, self._board.memory_mb = True, 55.0, 900.0
        self._cameras.last = True
        if self._cloud is None:
            await self._start_cloud()
        outbox = self._outbox()
        until_s = asyncio.get_running_loop().time() + HEAL_S
        while not watching.done() and asyncio.get_running_loop().time() < until_s:
            await asyncio.sleep(0.5)
            if not self.books.open and not outbox.counts()["waiting"]:
                break
        self.outbox, self.still_waiting = outbox.counts(), {one.number for one in outbox.waiting()}
        outbox.close()

    def _outbox(self) -> Outbox:
        return Outbox(self._folder / "outbox.sqlite3", self._clock, 50_000_000, 86_400.0)

    async def _ask(self, watcher: Watcher) -> None:
        """People, at random times."""
        await asyncio.gather(*(self._ask_as(watcher, client) for client in range(CLIENTS)))

    async def _ask_as(self, watcher: Watcher, client: int) -> None:
        numbers = itertools.count()
        mean_s = CLIENTS * (1 + AT_A_TIME) / 2 / self._rate
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / mean_s))
            for _ in range(self._rng.randint(1, AT_A_TIME)):
                question = f"{self._rng.choice(QUESTIONS)} ({client}.{next(numbers)})"
                self.books.asked(question, asyncio.get_running_loop().time())
                if not watcher.ask(question):
                    self.books.at_the_door(question)

    async def _measure(self) -> None:
        began_s = asyncio.get_running_loop().time()
        while True:
            self.gauges.take(asyncio.get_running_loop().time() - began_s)
            await asyncio.sleep(EVERY_S)

    def _times(self, in_a_day: int) -> int:
        return max(1, round(in_a_day * self._minutes / DAY_MINUTES))

    def _all_mishaps(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self._every(LINK_CHANGES, self._change_link),
            self._every(REPLUGS, self._replug),
            self._every(RESTARTS, self._restart_cloud),
            self._every(FULL_DISKS, self._fill_disk),
            self._every(JUMPS, self._jump),
            self._every(HOT_SPELLS, self._heat),
        ]

    async def _every(self, in_a_day: int, mishap: Callable[[], Awaitable[None]]) -> None:
        gap_s = self._minutes * 60 / self._times(in_a_day)
        while True:
            await asyncio.sleep(gap_s * self._rng.uniform(0.5, 1.0))
            await mishap()

    async def _change_link(self) -> None:
        mode = self._rng.choice((SLOW, HOLE, CUT))
        self._relay.change(mode)
        self.mishaps[f"link {mode}"] += 1
        await asyncio.sleep(self._rng.uniform(2, 10))
        self._relay.change(OK)

    async def _replug(self) -> None:
        self._module.plugged = False
        self.mishaps["microphone pulled out"] += 1
        await asyncio.sleep(self._rng.uniform(1, 8))
        self._module.plugged = True

    async def _restart_cloud(self) -> None:
        cloud, self._cloud = self._cloud, None
        self.mishaps["cloud killed"] += 1
        if cloud is not None:
            await cloud.kill()
        await asyncio.sleep(self._rng.uniform(0, 5))
        await self._start_cloud()

    async def _start_cloud(self) -> None:
        cloud = await CloudProcess(*self._cloud_arguments).__aenter__()
        self._cloud, self._relay.target = cloud, int(cloud.url.rpartition(":")[2])

    async def _fill_disk(self) -> None:
        if self._cloud is None:  # a program that starts needs its files
            return
        self._disk.fill()
        self.mishaps["disk full"] += 1
        await asyncio.sleep(self._rng.uniform(2, 8))
        self._disk.clear()

    async def _jump(self) -> None:
        self._clock.offset_s = self._rng.choice([-86_400.0, -3600.0, 0.0, 3600.0, 86_400.0, 400 * 86_400.0])
        self.mishaps["clock set"] += 1

    async def _heat(self) -> None:
        hot = self._rng.random() < 0.7
        self._board.celsius, self._board.memory_mb = (92.0, 900.0) if hot else (55.0, 10.0)
        self.mishaps["board hot" if hot else "memory full"] += 1
        await asyncio.sleep(self._rng.uniform(6, 12))
        self._board.celsius, self._board.memory_mb = 55.0, 900.0
