"""When questions come: steadily, in bursts, or by the time of day, at the mean rate that was asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.sim.scenario import ArrivalSpec

F64 = NDArray[np.float64]
BURST_RATE = 5.0  # of the mean rate, within a burst; the rest of the time nothing comes
SWING = 0.9  # of the mean rate, up at noon and down at midnight


def arrival_times(spec: ArrivalSpec, count: int, random: np.random.Generator) -> F64:
    """[count] seconds, rising, of one device."""
    rate = spec.per_minute / 60.0
    unit = np.cumsum(random.exponential(1.0, count))  # a Poisson process of rate 1, to be bent in time
    if spec.kind == "bursty":
        return _bursts(unit / (BURST_RATE * rate), spec.burst_s, random)
    if spec.kind == "diurnal":
        return _daily(unit / rate, spec.day_s)
    return unit / rate


def _bursts(busy_s: F64, burst_s: float, random: np.random.Generator) -> F64:
    """Cut the busy time into bursts and put pauses between them, so that the mean rate is kept."""
    pause_s = burst_s * (BURST_RATE - 1.0)
    ends, pauses = [float(random.exponential(burst_s))], [float(random.exponential(pause_s))]
    while ends[-1] < busy_s[-1]:
        ends.append(ends[-1] + float(random.exponential(burst_s)))
        pauses.append(pauses[-1] + float(random.exponential(pause_s)))
    return np.asarray(busy_s + np.array(pauses)[np.searchsorted(np.array(ends), busy_s)])


def _daily(even_s: F64, day_s: float) -> F64:
    """When the integral of 1 - SWING cos(2 pi t / day) reaches `even_s`: a day begins at midnight."""
    until_s = float(even_s[-1]) + day_s
    grid = np.linspace(0.0, until_s, max(1000, int(until_s / day_s * 200)))
    turn = 2.0 * np.pi / day_s
    return np.asarray(np.interp(even_s, grid - SWING * np.sin(turn * grid) / turn, grid))
