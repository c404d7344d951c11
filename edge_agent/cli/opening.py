"""Says what a start waits for where it takes long: a slow disk, or a source that gives nothing, looks like a hang."""

from __future__ import annotations

import logging
import threading
import time

SLOW_S = 10.0
log = logging.getLogger(__name__)


class Opening:
    """From now until it is `done`, a thread warns after SLOW_S, and again each time after twice as long, with what was
    last said to be going on. It speaks also where the event loop is held up.
    """

    def __init__(self, slow_s: float | None = None) -> None:
        self._slow_s = SLOW_S if slow_s is None else slow_s
        self._began_s = time.monotonic()
        self._doing = "starting"
        self._done = threading.Event()
        threading.Thread(target=self._wait, name="opening", daemon=True).start()

    def now(self, doing: str) -> None:
        """What is going on from now on, as in "opening the model"."""
        self._doing = doing

    def done(self) -> None:
        """It goes. May be called again and again."""
        self._done.set()

    def _wait(self) -> None:
        wait_s = self._slow_s
        while not self._done.wait(wait_s):
            log.warning("the start takes long: %.0f s so far, now %s", time.monotonic() - self._began_s, self._doing)
            wait_s *= 2
