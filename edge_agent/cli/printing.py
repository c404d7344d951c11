"""Text for stdout from a thread of its own: whoever reads it slowly, or not at all, holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import select
import threading
from collections.abc import Callable
from typing import TextIO

from edge_agent.clock import within

MOST_WAITING = 1000
PATIENT = 16
CLOSE_S = 2.0
log = logging.getLogger(__name__)


class Printer:
    """What is `put` goes to stdout in order. At most MOST_WAITING texts wait for who reads it; more are left out, which
    is said once. A write that fails calls `on_failed`, and every later `room` and `check` raises its OSError.

    Made and called in an event loop; a write that never returns is its daemon thread's alone, so signals are heard.
    """

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout
        self.on_failed: Callable[[], object] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._waiting = 0
        self._less = asyncio.Event()
        self._error: OSError | None = None
        self._complained = False
        threading.Thread(target=self._print, name="stdout", daemon=True).start()

    def put(self, text: str) -> None:
        """Print `text` and a line break when its turn comes."""
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            self._queue.put(text + "\n")
            return
        if not self._complained:
            log.warning("nobody reads stdout, and %d answers wait for it: more are left out there", self._waiting)
        self._complained = True

    async def room(self, below: int = PATIENT) -> None:
        """Return once fewer than `below` texts wait. Raises OSError where stdout has failed."""
        while self._waiting >= below and self._error is None:
            self._less.clear()
            await self._less.wait()
        self.check()

    async def close(self) -> None:
        """Wait for what is on its way, CLOSE_S at the most; never raises."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await within(self.room(1), CLOSE_S)

    def check(self) -> None:
        """Raises OSError where stdout has failed."""
        if self._error is not None:
            raise self._error

    def _print(self) -> None:
        error: OSError | None = None
        while error is None:
            try:
                _write(self._stdout, self._queue.get())
            except OSError as failure:
                error = failure
            try:
                self._loop.call_soon_threadsafe(self._printed, error)
            except RuntimeError:  # the loop is closed
                return

    def _printed(self, error: OSError | None) -> None:
        self._waiting -= 1
        if self._waiting < MOST_WAITING // 2:
            self._complained = False
        self._error = error
        self._less.set()
        if error is not None:
            self.on_failed()


def _write(stdout: TextIO, text: str) -> None:
    """Past its buffer, whose lock a write that hangs would keep until Python ends."""
    handle, data = stdout.fileno(), text.encode(stdout.encoding, "backslashreplace")
    while data:
        select.select([], [handle], [])  # whoever shares it may have set it so that a write does not wait
        data = data[os.write(handle, data) :]
