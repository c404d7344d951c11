"""Policies on one scenario over paired seeds: means, 95 % intervals, and differences from a reference seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.config import PolicySettings
from edge_agent.policy.base import OffloadPolicy
from edge_agent.sim.scenario import Scenario
from edge_agent.sim.simulator import METRICS, make_simulated, run_once
from edge_agent.sim.world import Questions, World, draw

F64 = NDArray[np.float64]
# 97.5th percentiles of Student's t for 1 to 30 degrees of freedom.
T975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its 95 % interval, `mean - half .. mean + half`; half is infinite for one seed."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def interval(values: Sequence[float] | F64) -> Interval:
    """By Student's t. Raises ValueError without values."""
    n = len(values)
    if n == 0:
        raise ValueError("there is nothing to average")
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.inf)
    t = T975[n - 2] if n - 2 < len(T975) else 1.96 + 2.5 / (n - 1)
    return Interval(mean, t * float(np.std(values, ddof=1)) / math.sqrt(n))


class Comparison:
    """What each policy reached under each seed: `values[policy][metric]` is [seeds], in the order of the seeds."""

    def __init__(self, scenario: Scenario, seeds: Sequence[int]) -> None:
        self.scenario = scenario
        self.seeds = tuple(seeds)
        self.values: dict[str, dict[str, F64]] = {}

    def add(self, policy: str, metrics: dict[str, F64]) -> None:
        self.values[policy] = metrics

    def of(self, policy: str, metric: str) -> Interval:
        """One figure of one policy. Raises KeyError."""
        return interval(self.values[policy][metric])

    def difference(self, policy: str, other: str, metric: str) -> Interval:
        """policy - other, seed by seed."""
        return interval(self.values[policy][metric] - self.values[other][metric])

    def lower(self, policy: str, other: str, metric: str) -> Interval:
        """By which part of the other's mean a policy is below it, -inf..1, seed by seed."""
        there = self.values[other][metric]
        return interval((there - self.values[policy][metric]) / np.maximum(there, 1e-12))

    def ranked(self) -> list[str]:
        """Policies by worth, the best first."""
        return sorted(self.values, key=lambda name: -float(self.values[name]["worth"].mean()))


def compare(
    scenario: Scenario, questions: Questions, policies: Sequence[str], settings: PolicySettings, seeds: Sequence[int]
) -> Comparison:
    """Every policy in the same worlds, one a seed."""
    worlds: list[World] = [draw(scenario, questions, seed) for seed in seeds]
    made = Comparison(scenario, seeds)
    for name in policies:
        runs = []
        for seed, world in zip(seeds, worlds, strict=True):

            def make(device: int, name: str = name, seed: int = seed) -> OffloadPolicy:
                return make_simulated(settings, name, 1000 * seed + device)

            runs.append(asdict(run_once(scenario, questions, world, make, settings)))
        made.add(name, {metric: np.array([run[metric] for run in runs]) for metric in METRICS})
    return made
