"""The link to the cloud as the agent's own traffic shows it: moving averages, and a cool-down after failures."""

from __future__ import annotations

from edge_agent.clock import Monotonic

WEIGHT = 0.3  # of the newest measurement in a moving average
COOL_DOWN_S = 5.0  # after a failure the cloud counts as unreachable for so long; doubles with each failure in a row
COOL_DOWN_MOST_S = 300.0
MEASURED_BYTES = 1000
"""Uploads of less say nothing of the uplink: a further question about a picture that the cloud still holds is a few
hundred bytes, which take as long as the machine needs to send anything at all.
"""


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
        self._uplink = Average()
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
        """A turn went well: `total_ms` in all, `bytes_up` sent in `upload_ms`; what the kernel saw of its packets."""
        self._failures = 0
        self._answered = True
        self._latency.add(total_ms)
        if upload_ms > 0 and bytes_up >= MEASURED_BYTES:
            self._uplink.add(bytes_up * 8 / 1000 / upload_ms)  # kbit/ms = Mbit/s
        if rtt_ms is not None:
            self._rtt.add(rtt_ms)
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
        """Megabits a second that uploads have reached; socket buffers make it an upper bound for small ones."""
        return self._uplink.value

    @property
    def rtt_ms(self) -> float | None:
        """Milliseconds there and back, as the kernel measured them on the turns' own packets."""
        return self._rtt.value

    @property
    def loss_share(self) -> float | None:
        """Share 0..1 of the turns' packets that had to be sent again."""
        return self._loss.value
