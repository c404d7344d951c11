"""Signals before a command has begun and after it has ended: the process ends without a word, not in a traceback. In
between each is an exception, so that what a command has begun (a folder, a child process) is cleared away.
"""

from __future__ import annotations

import signal
from types import FrameType

_put_off: set[signal.Signals] = set()


def end_at_once() -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP kill, as a shell kills what knows no better: while modules are imported,
    an exception between any two lines breaks what catches it half way. Who was told to ignore one goes on doing so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _put_off.add(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, _leave):
            signal.signal(number, signal.SIG_DFL)
            _put_off.add(number)


def raise_again() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again, where `end_at_once` had put that off; SIGTERM and SIGHUP are a
    SystemExit with 128 and the signal's number.
    """
    while _put_off:
        number = _put_off.pop()
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else _leave)


def _leave(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one does not wait for the clean-up
    raise SystemExit(128 + number)
