"""Lines of stdin, each a question."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable

MAX_LINE_BYTES = 8192
BACKGROUND_S = 1.0  # how often a job in the background looks whether it has the terminal now


def read_questions(loop: asyncio.AbstractEventLoop, put: Callable[[str], object]) -> None:
    """Lines of stdin, each a question, from a daemon thread: a read of stdin that never returns holds nobody up. `put`
    is called in `loop` with one after the other: who writes faster than it takes them waits. In the background of a
    terminal (`&`, or under `timeout` in a script) nothing is read until the job has it.
    """

    def read() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})  # which would stop the whole agent, without a word
        rest = b""
        while block := _read_block():
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-MAX_LINE_BYTES:]
            if not all(_hand_over(loop, put, line) for line in lines):
                return
        _hand_over(loop, put, rest)

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _hand_over(loop: asyncio.AbstractEventLoop, put: Callable[[str], object], line: bytes) -> bool:
    """Returns when `loop` has taken the line; False where it is closed."""
    words, taken = line.decode(errors="replace").strip(), threading.Event()
    if not words:
        return True

    def take() -> None:
        taken.set()
        put(words)

    try:
        loop.call_soon_threadsafe(take)
    except RuntimeError:
        return False
    taken.wait()
    return True


def _read_block() -> bytes:
    """Some bytes of stdin; none at its end or where there is none. Not through sys.stdin, whose lock a reader keeps."""
    while True:
        try:
            return os.read(0, 4096)
        except OSError:
            if not _in_background():
                return b""
        time.sleep(BACKGROUND_S)


def _in_background() -> bool:
    """Whether stdin is our terminal, but another job has it."""
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False
