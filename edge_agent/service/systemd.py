"""Tells systemd that the service is ready, alive and stopping, over its notify socket; nothing happens elsewhere."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from edge_agent.clock import Clock

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 0.5
PINGS_PER_INTERVAL = 3


class Notifier:
    """Sends to the datagram socket that NOTIFY_SOCKET names: a path, or an abstract name after `@`; see sd_notify(3).

    Without the variable every call does nothing. A failure is logged once and never raised: the agent is more
    important than what systemd knows about it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, *, timeout_s: float = SEND_TIMEOUT_S) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._timeout_s = timeout_s
        self._failed = False

    @property
    def active(self) -> bool:
        """Whether there is somebody to tell."""
        return self._address is not None

    def notify(self, *fields: str) -> bool:
        """Send fields such as "READY=1" and "STATUS=...", one datagram; whether it was handed over."""
        if self._address is None:
            return False
        message = "\n".join(" ".join(field.splitlines()) for field in fields)  # a line break would start a field
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(self._timeout_s)
                sock.connect(self._address)
                sock.sendall(message.encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told %s: %s", fields[0] if fields else "", error)
            self._failed = True
            return False
        return True


def _address(named: str) -> str | None:
    if named.startswith("/"):
        return named
    if named.startswith("@"):
        return "\0" + named[1:]
    if named:
        log.warning("NOTIFY_SOCKET=%.80s is of a kind that is not supported", named)
    return None


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """The unit's WatchdogSec from WATCHDOG_USEC; None without one, or where it is meant for another process."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        meant_for = int(environ.get("WATCHDOG_PID", "0"))
    except ValueError:
        return None
    if microseconds <= 0 or meant_for not in (0, os.getpid()):
        return None
    return microseconds / 1e6


class Watchdog:
    """Keeps systemd from restarting the service as long as the pipeline makes progress, and only then.

    There is no timer behind it: a pipeline that hangs, or a camera that gives no frames, is restarted after
    `interval_s` (default: WATCHDOG_USEC). Progress that comes at least every two thirds of it is always enough.
    """

    def __init__(self, notifier: Notifier, clock: Clock, interval_s: float | None = None) -> None:
        self._notifier = notifier
        self._clock = clock
        self._interval_s = watchdog_interval_s() if interval_s is None else interval_s
        self._pinged_s: float | None = None

    def progress(self) -> None:
        """A frame, a chunk of sound or an answer went through. Cheap: a ping at most every third of the interval."""
        if self._interval_s is None or not self._notifier.active:
            return
        now_s = self._clock.monotonic_s()
        if self._pinged_s is not None and now_s - self._pinged_s < self._interval_s / PINGS_PER_INTERVAL:
            return
        if self._notifier.notify("WATCHDOG=1"):
            self._pinged_s = now_s
