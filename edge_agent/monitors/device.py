"""Everything that a policy may know of the device and its link, as one SystemState."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edge_agent.clock import Clock
from edge_agent.errors import CloudError
from edge_agent.monitors.heat import hottest_celsius
from edge_agent.monitors.link import Average, Link
from edge_agent.monitors.load import load_share, memory_available_mb
from edge_agent.monitors.power import UNKNOWN, Throttle, throttle, watts
from edge_agent.types import EmbeddingSizes, Generation, Modality, SystemState

SLOW_EVERY_S = 5.0  # heat, load, memory and power change slowly and cost system calls
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Readings:
    """What changes slowly; None: not known."""

    heat: float | None = None
    load: float | None = None
    memory_mb: float | None = None
    throttle: Throttle = UNKNOWN
    watts: float | None = None


class Readers:
    """Reads each sensor by itself: one that fails is unknown, said once, and harms no other."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    def read(self) -> Readings:
        """All of them, now."""
        return Readings(
            self._try("heat", hottest_celsius, None),
            self._try("load", load_share, None),
            self._try("memory", memory_available_mb, None),
            self._try("throttling", throttle, UNKNOWN),
            self._try("power", watts, None),
        )

    def _try(self, name: str, reader: Callable[[], T], unknown: T) -> T:
        try:
            return reader()
        except Exception as error:  # noqa: BLE001 - the border of a monitor: whatever it throws, it takes nobody down
            if name not in self._failed:
                log.warning("the monitor of %s failed (%s): it is unknown", name, error)
            self._failed.add(name)
            return unknown


class DeviceMonitors:
    """Fed by the pipeline's own traffic; what changes slowly is read at most every SLOW_EVERY_S."""

    def __init__(
        self, clock: Clock, sizes: EmbeddingSizes | None, cloud_cost_usd: float, readers: Readers | None = None
    ) -> None:
        self._clock = clock
        self._sizes = sizes
        self._views = 1 if sizes is None else sizes.views  # until a cloud has shown how many it reads
        self._cloud_cost_usd = cloud_cost_usd
        self._link = Link(clock)
        self._local_ms = Average()
        self._read_at_s: float | None = None
        self._readers = readers or Readers()
        self._slow = Readings()

    def state(self) -> SystemState:
        """The state of this moment; the question's own limits are filled in by the pipeline."""
        slow = self._slow_readings()
        sizes = self._sizes
        hears = sizes is not None and sizes.sound_bytes is not None
        return SystemState(
            cloud_reachable=self._link.reachable,
            uplink_mbps=self._link.uplink_mbps,
            rtt_ms=self._link.rtt_ms,
            loss_share=self._link.loss_share,
            edge_load=slow.load,
            temperature_celsius=slow.heat,
            memory_available_mb=slow.memory_mb,
            slowed=slow.throttle.slowed,
            undervoltage=slow.throttle.undervoltage,
            power_watts=slow.watts,
            encodable=(Modality.IMAGE, Modality.AUDIO) if hears else (Modality.IMAGE,),
            upload_views=self._views,
            embedding_bytes_estimate=None if sizes is None else sizes.view_bytes * self._views,
            sound_bytes_estimate=None if sizes is None else sizes.sound_bytes,
            cloud_cost_estimate_usd=self._cloud_cost_usd,
            cloud_latency_estimate_ms=self._link.latency_ms,
            local_latency_estimate_ms=self._local_ms.value,
        )

    def cloud_answered(self, generation: Generation, total_ms: float) -> None:
        """A cloud turn went well."""
        if generation.views_read:
            self._views = generation.views_read
        seen = generation
        self._link.answered(total_ms, seen.bytes_up, seen.upload_ms, seen.rtt_ms, seen.loss_share)

    def cloud_failed(self, error: CloudError) -> None:
        """A cloud turn failed."""
        self._link.failed()

    def local_answered(self, total_ms: float) -> None:
        """The device answered in `total_ms`, encoding not counted."""
        self._local_ms.add(total_ms)

    def _slow_readings(self) -> Readings:
        now_s = self._clock.monotonic_s()
        if self._read_at_s is None or now_s - self._read_at_s >= SLOW_EVERY_S:
            self._read_at_s = now_s
            self._slow = self._readers.read()
        return self._slow
