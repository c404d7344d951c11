"""The nodes: a board with one computing thread, its heat and battery, and a cloud with workers, a queue and batches."""

from __future__ import annotations

import math
from collections import deque

from edge_agent.sim.events import Events, Reply
from edge_agent.sim.scenario import CloudSpec, DeviceSpec

LOAD_S = 60.0  # the load average of the last minute
JOULES_PER_WH = 3600.0


class Board:
    """One device's processor, first come first served. Times must not fall from call to call.

    Heat: the board's temperature nears ambient + celsius_per_w * power with the time constant `heat_s`; between
    `throttle_celsius` and `hottest_celsius` it slows down evenly to `hot_slowdown`. Each step is taken as cool or hot
    as it begins.
    """

    def __init__(self, spec: DeviceSpec) -> None:
        self._spec = spec
        self._at_s = 0.0
        self._load = 0.0
        self.celsius = spec.ambient_celsius + spec.celsius_per_w * spec.idle_w
        self.free_s = 0.0
        self.energy_j = 0.0

    def compute(self, now_s: float, ms: float) -> float:
        """When work is done that takes `ms` on the machine of the table and is given to the board now."""
        starts_s = max(now_s, self.free_s)
        self._pass(starts_s, self._spec.idle_w, 0.0)
        took_s = 0.001 * ms * self._spec.slowdown * self.hot_factor
        self._pass(starts_s + took_s, self._spec.busy_w, 1.0)
        self.free_s = starts_s + took_s
        return self.free_s

    def send(self, seconds: float) -> None:
        """The radio was on for so long."""
        self.energy_j += seconds * self._spec.radio_w

    def load(self, now_s: float) -> float:
        """Runnable tasks a core, as the system's load average tells them, with those of other programs."""
        self._pass(now_s, self._spec.idle_w, 0.0)
        return self._load / self._spec.cores + self._spec.other_load

    def alive(self, now_s: float) -> bool:
        """Whether there is power left."""
        self._pass(now_s, self._spec.idle_w, 0.0)
        return not self._spec.battery_wh or self.energy_j < self._spec.battery_wh * JOULES_PER_WH

    @property
    def hot_factor(self) -> float:
        """1 while cool; how much longer work takes as it gets hot."""
        spec = self._spec
        if not spec.celsius_per_w or self.celsius <= spec.throttle_celsius:
            return 1.0
        share = (self.celsius - spec.throttle_celsius) / (spec.hottest_celsius - spec.throttle_celsius)
        return 1.0 + min(1.0, share) * (spec.hot_slowdown - 1.0)

    def _pass(self, until_s: float, power_w: float, busy: float) -> None:
        """Let time go by at one power."""
        passed_s = until_s - self._at_s
        if passed_s <= 0.0:
            return
        self._at_s = until_s
        self.energy_j += passed_s * power_w
        self._load = busy + (self._load - busy) * math.exp(-passed_s / LOAD_S)
        if self._spec.celsius_per_w:
            goal = self._spec.ambient_celsius + self._spec.celsius_per_w * power_w
            self.celsius = goal + (self.celsius - goal) * math.exp(-passed_s / self._spec.heat_s)


class CloudNode:
    """Workers behind one queue. A free worker takes what waits, up to a batch; a batch is answered as a whole."""

    def __init__(self, spec: CloudSpec, events: Events) -> None:
        self._spec = spec
        self._events = events
        self._waiting: deque[tuple[float, Reply]] = deque()
        self._free = spec.workers
        self.longest_queue = 0

    def ask(self, service_ms: float, reply: Reply) -> bool:
        """Queue a question; `reply` is given True when it is answered. False: refused, the queue is full."""
        if not self._free and len(self._waiting) >= self._spec.queue:
            return False
        self._waiting.append((service_ms, reply))
        self.longest_queue = max(self.longest_queue, len(self._waiting))
        if self._free:
            self._start()
        return True

    def _start(self) -> None:
        batch: list[tuple[float, Reply]] = []
        while self._waiting and len(batch) < self._spec.batch:
            one = self._waiting.popleft()
            if not one[1].given:  # else who asked has given up
                batch.append(one)
        if not batch:
            return
        self._free -= 1
        longest_ms = max(ms for ms, _ in batch) * (1.0 + self._spec.batch_cost * (len(batch) - 1))
        ends_s = self._events.now_s + 0.001 * longest_ms * self._spec.slowdown
        self._events.at(ends_s, lambda: self._end(batch))

    def _end(self, batch: list[tuple[float, Reply]]) -> None:
        self._free += 1
        for _, reply in batch:
            reply.give(True)
        while self._waiting and self._free:
            before = len(self._waiting)
            self._start()
            if len(self._waiting) == before:
                return
