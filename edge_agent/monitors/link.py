"""The link to the cloud as the agent's own traffic shows it: moving averages, and a cool-down after failures."""

from __future__ import annotations

from collections import deque

from edge_agent.clock import Monotonic
from edge_agent.uplink import busy_ms

WEIGHT = 0.3  # of the newest measurement in a moving average
COOL_DOWN_S = 5.0  # after a failure the cloud counts as unreachable for so long; doubles with each failure in a row
COOL_DOWN_MOST_S = 300.0
MEASURED_BYTES = 1000
"""Uploads of less say nothing of the uplink: a further question about a picture that the cloud still holds is a few
hundred bytes, which take as long as the machine needs to send anything at all.
"""
LEAST_BUSY_MS = 2.0
"""Bytes that keep the link busy for less are not told from that: the uplink is faster than they can show."""
UPLOADS_KEPT = 4


class Average:
    """An exponential moving average; `value` is None before the first measurement."""

    def __init__(self, weight: float = WEIGHT) -> None:
        self._weight = weight
        self.value: float | None = None

    def add(self, value: float) -> None:
        """Take a measurement in."""
        self.value = value if self.value is None else (1 - self._weight) * self.value + self._weight * value


class Link:
    """Reachability, latency and uplink of one cloud. Nothing is sent to find out: real turns feed it."""

    def __init__(self, clock: Monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._retry_at_s = 0.0
        self._answered = False
        self._latency = Average()
        self._busy_ms_per_byte: deque[float] = deque(maxlen=UPLOADS_KEPT)
        self._rtt = Average()
        self._loss = Average()

    def answered(
        self,
        total_ms: float,
        bytes_up: int,
        upload_ms: float,
        rtt_ms: float | None = None,
        loss_share: float | None = None,
    ) -> None:
        """A turn went well: `total_ms` in all; from the first of `bytes_up` until the cloud had them `upload_ms`, the
        round trip included; what the kernel saw of its packets.
        """
        self._failures = 0
        self._answered = True
        self._latency.add(total_ms)
        if rtt_ms is not None:
            self._rtt.add(rtt_ms)
        if upload_ms > 0 and bytes_up >= MEASURED_BYTES:
            took_ms = busy_ms(upload_ms, self._rtt.value or 0.0)
            self._busy_ms_per_byte.append(took_ms / bytes_up if took_ms >= LEAST_BUSY_MS else 0.0)
        if loss_share is not None:
            self._loss.add(loss_share)

    def failed(self) -> None:
        """A turn failed: hold off for a while, longer after each failure in a row."""
        self._failures += 1
        wait_s = min(COOL_DOWN_MOST_S, COOL_DOWN_S * 2 ** min(self._failures - 1, 10))
        self._retry_at_s = self._clock.monotonic_s() + wait_s

    @property
    def reachable(self) -> bool | None:
        """False while cooling down; True if the last turn went well; None if nothing is known (try it)."""
        if self._failures and self._clock.monotonic_s() < self._retry_at_s:
            return False
        return True if self._answered and not self._failures else None

    @property
    def latency_ms(self) -> float | None:
        """Expected milliseconds of a cloud turn."""
        return self._latency.value

    @property
    def uplink_mbps(self) -> float | None:
        """Megabits a second, by the quickest of the last uploads: what else delays one is not the link. None where
        nothing was sent that shows it, or where all of it went through faster than can be told.
        """
        quickest = min(self._busy_ms_per_byte, default=0.0)
        return 0.008 / quickest if quickest > 0.0 else None  # kbit/ms = Mbit/s

    @property
    def rtt_ms(self) -> float | None:
        """Milliseconds there and back, as the kernel measured them on the turns' own packets."""
        return self._rtt.value

    @property
    def loss_share(self) -> float | None:
        """Share 0..1 of the turns' packets that had to be sent again."""
        return self._loss.value
