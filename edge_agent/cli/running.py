"""Runs a command's coroutine so that a signal cancels it and it cleans up, in the same way on every Python."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupted(Exception):
    """A signal, carried out of the event loop, which a KeyboardInterrupt inside a task would tear apart."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


def run(work: Coroutine[Any, Any, T]) -> T:
    """Like asyncio.run, but a signal cancels `work` and its clean-up is awaited.

    Then Ctrl-C raises KeyboardInterrupt; SIGTERM and SIGHUP raise SystemExit with 128 and the signal's number. Under
    nohup SIGHUP means nothing.
    """
    try:
        return asyncio.run(_interruptible(work))
    except _Interrupted as interrupted:
        if interrupted.number is signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + interrupted.number) from None


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    caught: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        caught.append(number)
        task.cancel()

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in SIGNALS if not (nohup and number is signal.SIGHUP)]
    for number in heard:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        if caught:
            raise _Interrupted(caught[0]) from None
        raise
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
