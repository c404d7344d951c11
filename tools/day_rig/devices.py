"""What fails in the day rig: cameras, a microphone, the clock, the board's heat and memory, the disk."""

from __future__ import annotations

import random
import resource
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.clock import SystemClock
from edge_agent.sources.camera import FRAME_TIMEOUT_S
from edge_agent.sources.child import Command
from tools.day_rig.camera_program import FRAME_BYTES, HEAD, WIDTH

HEAD_BYTES = len(HEAD)
PROGRAM = Path(__file__).with_name("camera_program.py")
ENDS = ("exit", "words", "hang", "junk")
OPENED_S, LEAST_S, SHARE = 1.0, 0.25, 0.9
PLACES = {  # bytes of the frame in which a camera ends
    "between frames": 0,
    "after a byte": 1,
    "in the magic": 3,
    "after the magic": 4,
    "in the width": 6,
    "in the height": 11,
    "after the head": HEAD_BYTES,
    "in the first pixel": HEAD_BYTES + 1,
    "after a row": HEAD_BYTES + WIDTH * 3,
    "when the pipe is full": 65_536,
    "in the middle": FRAME_BYTES // 2,
    "a byte before the end": FRAME_BYTES - 1,
}


class Cameras:
    """Gives the command of each run of the camera, which lives so long that it is lost `losses` times within
    `seconds`, whatever each loss takes to be noticed; each time at another point of a read. `runs`: so many were asked.
    """

    def __init__(self, rng: random.Random, losses: int, seconds: float, fps: float = 8.0) -> None:
        self._rng = rng
        self._losses = losses
        self._seconds = seconds
        self._fps = fps
        self._began_s: float | None = None
        self._planned: tuple[str, str] | None = None
        self.runs = 0
        self.points: Counter[tuple[str, str]] = Counter()  # how it ended, and where in a read
        self.last = False

    def __call__(self, uri: str) -> Command:
        end, (place, cut) = ENDS[self.runs % len(ENDS)], self._cut()
        lives_s = 1e6 if self.last else self._lives_s(end == "hang" or (end == "junk" and cut >= HEAD_BYTES))
        self.runs += 1
        if self._planned is not None:
            self.points[self._planned] += 1
        self._planned = None if self.last else (end, place)
        numbers = (str(max(1, int(lives_s * self._fps))), str(self._fps), end, str(cut))
        return Command((sys.executable, "-S", str(PROGRAM), *numbers), raw=True)

    def _cut(self) -> tuple[str, int]:
        """A place of a read and its bytes of a frame: all of PLACES with all of ENDS, in turn."""
        places = {**PLACES, "anywhere": self._rng.randrange(FRAME_BYTES)}
        return list(places.items())[self.runs // len(ENDS) % len(places)]

    def _lives_s(self, silent: bool) -> float:
        """The time that is left, shared among the losses that are left, less what this one takes to be noticed. A
        tenth is kept back; once there were enough losses, they go on as often.
        """
        now_s = time.monotonic()
        self._began_s = now_s if self._began_s is None else self._began_s
        left_s = SHARE * self._seconds - (now_s - self._began_s)
        left = self._losses - self.runs
        gap_s = left_s / left if left > 0 else self._seconds / self._losses
        away_s = OPENED_S + (FRAME_TIMEOUT_S if silent else 0.0)
        wanted_s = self._rng.uniform(0.5, 1.5) * (gap_s - away_s)
        return max(LEAST_S, wanted_s if left <= 0 else min(wanted_s, left_s - away_s))


class Sounddevice:
    """A sounddevice module with one microphone that can be pulled out and plugged in again."""

    class PortAudioError(Exception):
        """As the real module's."""

    def __init__(self) -> None:
        self.plugged = True

    def InputStream(self, **settings: Any) -> _Stream:
        if not self.plugged:
            raise self.PortAudioError("Invalid device [PaErrorCode -9996]")
        return _Stream(self, settings["blocksize"], settings["callback"])


class _Stream:
    """Noise in blocks, at their pace, from a thread; nothing while the microphone is out."""

    def __init__(self, owner: Sounddevice, block: int, callback: Any) -> None:
        self._owner = owner
        self._block = block
        self._callback = callback
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, name="rig-microphone", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()

    def _play(self) -> None:
        rng = np.random.default_rng(1)
        number = 0
        while not self._ended.wait(self._block / 16_000):
            if not self._owner.plugged:
                return  # a stream that lost its device stays silent for ever
            loud = 0.3 if number % 150 == 0 else 0.001
            self._callback(rng.normal(0, loud, (self._block, 1)).astype(np.float32), self._block, None, None)
            number += 1


class JumpingClock(SystemClock):
    """A clock whose wall time is set, as by a board without a battery; monotonic time goes on."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def wall_s(self) -> float:
        return time.time() + self.offset_s


class Board:
    """What the monitors read."""

    def __init__(self) -> None:
        self.celsius = 55.0
        self.memory_mb = 900.0


class Disk:
    """A disk that takes not one byte more: every write to a file of this process fails, and those of its children."""

    def __init__(self) -> None:
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._hard))

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._soft, self._hard))
