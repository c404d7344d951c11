"""`edge-agent bench idle`: what watching costs while nothing happens, and what one frame's features and decision do."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import psutil

from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.measure import Contender, Timing, compare, spread_pct
from edge_agent.cli.bench.pictures import texture
from edge_agent.cli.bench.rows import machine_line
from edge_agent.cli.build import extractor_factory
from edge_agent.cli.options import json_option
from edge_agent.cli.output import emit
from edge_agent.clock import SystemClock
from edge_agent.config import Config
from edge_agent.errors import NoAnswerError, UsageError
from edge_agent.parts import Limits
from edge_agent.policy import make_policy
from edge_agent.service.heap import small_heap
from edge_agent.sources.base import Item
from edge_agent.sources.camera import CameraSource, command_of
from edge_agent.sources.child import Command
from edge_agent.store.decisions import DecisionLog
from edge_agent.turn import decision_record
from edge_agent.types import Answer, Frame, Observation, SystemState
from edge_agent.watch import Watcher

WINDOWS = 5
MIB = 1 << 20


@click.command()
@click.option("--size", default="1280x720", show_default=True, help="Width and height of the camera's frames.")
@click.option("--fps", type=click.IntRange(1, 120), default=30, show_default=True, help="Frames a second.")
@click.option("--camera", metavar="URI", help="A camera of yours instead, as in run.camera: with its decoding.")
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=20.0, show_default=True, help="To watch.")
@click.option(
    "--rounds", type=click.IntRange(3, 1000), default=15, show_default=True, help="Timings of a frame's work."
)
@json_option
def command(size: str, fps: int, camera: str | None, seconds: float, rounds: int, as_json: bool) -> None:
    """Watch a still scene, nothing asked and no model open: share of one core, resident memory, time a frame.

    The camera is a process that only writes frames: the share beside it is the agent's own, from the pipe to the
    triggers. Its own share is told apart; with --camera, it is what decoding costs.
    """
    width, height = _sides(size)
    if not as_json:
        click.echo(machine_line())
    report(asyncio.run(watching(width, height, fps, camera, seconds)), as_json)
    report(a_frame(width, height, rounds), as_json)


def report(row: dict[str, Any], as_json: bool) -> None:
    """One row: JSON, or a line for people."""
    if as_json:
        emit(row)
    elif row["case"] == "watching":
        click.echo(
            f"watching {row['size']}: {row['core_share_pct']:.1f} % of one core +-{row['spread_pct']:.1f} % of that "
            f"(camera's process {row['camera_core_share_pct']:.1f} %), {row['resident_mib']:.0f} MiB resident, "
            f"{row['frames_s']:.1f} frames a second, {row['asked']} asked"
        )
    else:
        click.echo(
            f"a frame {row['size']}: {row['ours_us']:.0f} us +-{row['spread_pct']:.0f} % (features "
            f"{row['features_us']:.0f}, decision {row['decide_us']:.0f}, its line in the log {row['log_us']:.0f})"
        )


@dataclass
class Nobody:
    """Answers nothing: no model is open. `asked`: how many questions the triggers put all the same."""

    asked: int = 0

    async def ask(self, observation: Observation, limits: Limits) -> Answer:
        self.asked += 1
        raise NoAnswerError("nothing answers here")


@dataclass
class Shares:
    """Processor seconds of this process and of the camera's, and what was seen, at the end of each window."""

    own_s: list[float] = field(default_factory=list)
    camera_s: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def take(self, now_s: float, frames: int) -> None:
        me = psutil.Process()
        times = [one.cpu_times() for one in me.children(recursive=True)]
        own = me.cpu_times()
        self.own_s.append(own.user + own.system)
        self.camera_s.append(sum(one.user + one.system for one in times))
        self.at_s.append(now_s)
        self.frames.append(frames)

    def percent(self, spent_s: Sequence[float]) -> list[float]:
        """Of one core, a window."""
        pairs = range(len(self.at_s) - 1)
        return [100 * (spent_s[i + 1] - spent_s[i]) / (self.at_s[i + 1] - self.at_s[i]) for i in pairs]


async def watching(width: int, height: int, fps: int, camera: str | None, seconds: float) -> dict[str, Any]:
    """The row of watching: WINDOWS equal parts of `seconds`, after one more that warms up."""
    config, loop, nobody, shares = Config(), asyncio.get_running_loop(), Nobody(), Shares()
    drawn = Command(
        (sys.executable, "-m", "edge_agent.cli.bench.idle_camera", str(width), str(height), str(fps)), raw=True
    )
    source = CameraSource(camera or "drawn", command=command_of if camera else lambda uri: drawn)
    seen = 0

    async def counted() -> AsyncIterator[Item]:
        nonlocal seen
        async for item in source:
            seen += 1
            yield item

    watcher = Watcher(nobody, extractor_factory(config)(), config.trigger, Limits(), lambda asked: None)
    async with small_heap(SystemClock()):
        await source.open()
        task = asyncio.create_task(watcher.run(counted()))
        try:
            for window in range(WINDOWS + 1):
                await asyncio.wait({task}, timeout=seconds / WINDOWS)
                if task.done():
                    await task
                if window == 0:
                    asked = nobody.asked
                shares.take(loop.time(), seen)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await source.close()
    own, taken_s = shares.percent(shares.own_s), shares.at_s[-1] - shares.at_s[0]
    return {
        "bench": "idle",
        "case": "watching",
        "size": camera or f"{width}x{height}@{fps}",
        "core_share_pct": round(statistics.median(own), 2),
        "spread_pct": round(spread_pct(own), 1),
        "camera_core_share_pct": round(statistics.median(shares.percent(shares.camera_s)), 2),
        "resident_mib": round(psutil.Process().memory_info().rss / MIB, 1),
        "frames_s": round((shares.frames[-1] - shares.frames[0]) / taken_s, 2),
        "dropped": source.dropped,
        "asked": nobody.asked - asked,
        "seconds": round(taken_s, 1),
        "machine": machine(),
    }


def a_frame(width: int, height: int, rounds: int) -> dict[str, Any]:
    """The row of one frame: its features, a decision about it, and that decision's line in the log."""
    config = Config()
    frames = [Frame(pixels.copy(), 0.1 * i, i) for i, pixels in enumerate(texture(width, height))]
    extractor, policy = (
        extractor_factory(config)(),
        make_policy(replace(config.policy, accept_entropy=0.5), config.cloud),
    )
    seen = [extractor.observe(Observation("what is in the picture?", (frame,))) for frame in frames]
    state = SystemState(cloud_configured=True, cloud_reachable=True, rtt_ms=40.0, deadline_ms=10_000.0)
    decisions = [policy.decide(features, state, ()) for features in seen]
    with tempfile.TemporaryDirectory(prefix="edge-agent-bench-") as folder:
        journal = DecisionLog(Path(folder) / "decisions.jsonl")

        def log(i: int) -> None:
            at = i % len(frames)
            observation = Observation("what is in the picture?", (frames[at],))
            journal.append(decision_record(1.8e9 + i, observation, seen[at], state, decisions[at], None, None))

        works = {
            "features": lambda i: extractor.vision(frames[i % len(frames)].pixels),
            "decide": lambda i: policy.decide(seen[i % len(seen)], state, ()),
            "log": log,
        }
        timed: dict[str, Timing] = {
            name: compare(Contender(name, "", work), (), rounds)[0] for name, work in works.items()
        }
    whole = [sum(one) for one in zip(*(timing.us for timing in timed.values()), strict=True)]
    return {
        "bench": "idle",
        "case": "frame",
        "size": f"{width}x{height}",
        "ours_us": round(statistics.median(whole), 1),
        "spread_pct": round(spread_pct(whole), 1),
        **{f"{name}_us": round(timing.median_us, 1) for name, timing in timed.items()},
        "peers": {},
        "rounds": rounds,
        "machine": machine(),
    }


def _sides(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise UsageError(f"{size[:40]!r} is no size", "write it as 1280x720")
    if not (16 <= int(width) <= 7680 and 16 <= int(height) <= 4320):
        raise UsageError(f"{size[:40]} is out of range", "16x16 to 7680x4320")
    return int(width), int(height)
