"""Ctrl-C before a command has begun and after it has ended: the process ends without a word, not in a traceback."""

from __future__ import annotations

import signal

_put_off = False


def end_at_once() -> None:
    """From now on Ctrl-C kills, as a shell kills what knows no better: while modules are imported, Python's own way, an
    exception between any two lines, breaks what catches it half way. Who was told to ignore Ctrl-C goes on doing so.
    """
    global _put_off
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _put_off = True


def raise_again() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again, where `end_at_once` had put that off."""
    global _put_off
    if _put_off:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _put_off = False
