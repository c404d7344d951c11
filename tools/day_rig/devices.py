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
from edge_agent.sources.child import Command
from tools.day_rig.camera_program import FRAME_BYTES

PROGRAM = Path(__file__).with_name("camera_program.py")
ENDS = ("exit", "words", "hang", "junk")


class Cameras:
    """Gives the command of each run of the camera: it lives so many seconds, then ends at another point of a read."""

    def __init__(self, rng: random.Random, lives_s: float, fps: float = 8.0) -> None:
        self._rng = rng
        self._lives_s = lives_s
        self._fps = fps
        self.runs = 0
        self._planned: tuple[str, int] | None = None
        self.points: Counter[tuple[str, int]] = Counter()  # how it ended, and after how many bytes of a frame
        self.last = False

    def __call__(self, uri: str) -> Command:
        lives_s = 1e6 if self.last else self._rng.uniform(0.5, 1.5) * self._lives_s
        cuts = (0, 1, 4, 11, 12, 13, FRAME_BYTES - 1, self._rng.randrange(FRAME_BYTES))
        end, cut = ENDS[self.runs % len(ENDS)], cuts[self.runs // len(ENDS) % len(cuts)]
        self.runs += 1
        if self._planned is not None:
            self.points[self._planned] += 1
        self._planned = None if self.last else (end, cut)
        numbers = (str(int(lives_s * self._fps)), str(self._fps), end, str(cut))
        return Command((sys.executable, "-S", str(PROGRAM), *numbers), raw=True)


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
