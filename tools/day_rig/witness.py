"""A process beside the day rig that only looks at the clock: where it stood still, the machine did, not we."""

from __future__ import annotations

import subprocess
import sys
import threading

EVERY_S = 0.05
PROGRAM = f"""
import os, time
last, parent = time.monotonic(), os.getppid()
while os.getppid() == parent:
    time.sleep({EVERY_S})
    now = time.monotonic()
    if now - last > {3 * EVERY_S}:
        print(last + {EVERY_S}, now, flush=True)
    last = now
"""


class Witness:
    """Start it, and ask `stood_s` later. Times are those of the monotonic clock, which is the event loop's, too."""

    def __init__(self) -> None:
        self.stops: list[tuple[float, float]] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        command = [sys.executable, "-S", "-c", PROGRAM]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, name="rig-witness", daemon=True)
        self._reader.start()

    def stop(self) -> None:
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def stood_s(self, began_s: float, ended_s: float) -> float:
        """How much of this time the witness could not run."""
        overlaps = [min(ended_s, end) - max(began_s, start) for start, end in self.stops]
        return sum(overlap for overlap in overlaps if overlap > 0)

    @property
    def longest_s(self) -> float:
        """The longest stop."""
        return max((end - start for start, end in self.stops), default=0.0)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            start, end = line.split()
            self.stops.append((float(start), float(end)))
