"""Everything that a policy may know of the device and its link, as one SystemState."""

from __future__ import annotations

from edge_agent.clock import Clock
from edge_agent.errors import CloudError
from edge_agent.monitors.heat import hottest_celsius
from edge_agent.monitors.link import Average, Link
from edge_agent.monitors.load import load_share, memory_available_mb
from edge_agent.types import EmbeddingSizes, Generation, Modality, SystemState

SLOW_EVERY_S = 5.0  # heat, load and memory change slowly and cost system calls


class DeviceMonitors:
    """Fed by the pipeline's own traffic; heat, load and memory are read at most every SLOW_EVERY_S."""

    def __init__(self, clock: Clock, sizes: EmbeddingSizes | None, cloud_cost_usd: float) -> None:
        self._clock = clock
        self._sizes = sizes
        self._views = 1 if sizes is None else sizes.views  # until a cloud has shown how many it reads
        self._cloud_cost_usd = cloud_cost_usd
        self._link = Link(clock)
        self._local_ms = Average()
        self._read_at_s: float | None = None
        self._slow: tuple[float | None, float | None, float | None] = (None, None, None)

    def state(self) -> SystemState:
        """The state of this moment; the question's own limits are filled in by the pipeline."""
        heat, load, memory = self._slow_readings()
        sizes = self._sizes
        hears = sizes is not None and sizes.sound_bytes is not None
        return SystemState(
            cloud_reachable=self._link.reachable,
            uplink_mbps=self._link.uplink_mbps,
            edge_load=load,
            temperature_celsius=heat,
            memory_available_mb=memory,
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
        if generation.views_up:
            self._views = generation.views_up
        self._link.answered(total_ms, generation.bytes_up, generation.upload_ms)

    def cloud_failed(self, error: CloudError) -> None:
        """A cloud turn failed."""
        self._link.failed()

    def local_answered(self, total_ms: float) -> None:
        """The device answered in `total_ms`, encoding not counted."""
        self._local_ms.add(total_ms)

    def _slow_readings(self) -> tuple[float | None, float | None, float | None]:
        now_s = self._clock.monotonic_s()
        if self._read_at_s is None or now_s - self._read_at_s >= SLOW_EVERY_S:
            self._read_at_s = now_s
            self._slow = (hottest_celsius(), load_share(), memory_available_mb())
        return self._slow
