"""Runs a command's coroutine so that Ctrl-C cancels it once, in the same way on every Python."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Interrupted(Exception):
    """Ctrl-C, carried out of the event loop, which a KeyboardInterrupt inside a task would tear apart."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Like asyncio.run; Ctrl-C cancels `work`, waits for its clean-up, and raises KeyboardInterrupt."""
    try:
        return asyncio.run(_interruptible(work))
    except _Interrupted:
        raise KeyboardInterrupt from None


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if interrupted:
            raise _Interrupted from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
