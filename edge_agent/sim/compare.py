"""Policies on one scenario over paired seeds: means, 95 % intervals, and differences from a reference.

Two kinds of noise stand in a difference. Seeds draw other links, arrivals and orders of the same questions:
`difference`. Other photos would have been other questions: `over_photos`, questions about one photo together
(cluster-robust, as in Cameron and Miller 2015, section II). Neither holds the other; `paired` is the wider of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.config import PolicySettings
from edge_agent.policy.base import OffloadPolicy
from edge_agent.sim.device import Answered
from edge_agent.sim.scenario import Scenario
from edge_agent.sim.simulator import METRICS, figures_of, make_simulated, play, worth_of
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


PER_PHOTO = ("worth", "accuracy", "latency_ms")


class PhotoSums:
    """Of one policy over all seeds: `asked` [P] questions about each photo, and per metric of PER_PHOTO its sums [P].

    `size` is P, the photos of the table.
    """

    def __init__(self, size: int) -> None:
        self.asked = np.zeros(size)
        self.sums = {metric: np.zeros(size) for metric in PER_PHOTO}

    def add(self, answered: Sequence[Answered], settings: PolicySettings) -> None:
        """Count the questions of one run."""
        for one in answered:
            self.asked[one.photo] += 1
            worth = worth_of(settings, one.right, one.latency_ms, one.cost_usd, one.bytes_up)
            for metric, value in zip(PER_PHOTO, (worth, one.right, one.latency_ms), strict=True):
                self.sums[metric][one.photo] += value


class Comparison:
    """What each policy reached under each seed: `values[policy][metric]` is [seeds], in the order of the seeds."""

    def __init__(self, scenario: Scenario, seeds: Sequence[int]) -> None:
        self.scenario = scenario
        self.seeds = tuple(seeds)
        self.values: dict[str, dict[str, F64]] = {}
        self._photos: dict[str, PhotoSums] = {}

    def add(self, policy: str, metrics: dict[str, F64], photos: PhotoSums | None = None) -> None:
        self.values[policy] = metrics
        if photos is not None:
            self._photos[policy] = photos

    def of(self, policy: str, metric: str) -> Interval:
        """One figure of one policy. Raises KeyError."""
        return interval(self.values[policy][metric])

    def difference(self, policy: str, other: str, metric: str) -> Interval:
        """policy - other, seed by seed."""
        return interval(self.values[policy][metric] - self.values[other][metric])

    def over_photos(self, policy: str, other: str, metric: str) -> Interval:
        """policy - other, photo by photo; `metric` is one of PER_PHOTO. Raises KeyError where photos were not kept."""
        one, two = self._photos[policy], self._photos[other]
        more, asked = one.sums[metric] - two.sums[metric], one.asked
        mean = float(more.sum() / asked.sum())
        photos = int((asked > 0).sum())
        if photos < 2:
            return Interval(mean, math.inf)
        off = more - mean * asked
        error = math.sqrt(float((off**2).sum()) * photos / (photos - 1)) / float(asked.sum())
        return Interval(mean, 1.96 * error)

    def paired(self, policy: str, other: str, metric: str) -> Interval:
        """policy - other, with the wider of both intervals; that over seeds alone where photos were not kept."""
        by_seeds = self.difference(policy, other, metric)
        if policy not in self._photos or other not in self._photos or metric not in PER_PHOTO:
            return by_seeds
        return Interval(by_seeds.mean, max(by_seeds.half, self.over_photos(policy, other, metric).half))

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
        runs, photos = [], PhotoSums(questions.photos)
        for seed, world in zip(seeds, worlds, strict=True):

            def make(device: int, name: str = name, seed: int = seed) -> OffloadPolicy:
                return make_simulated(settings, name, 1000 * seed + device)

            answered, energy_j = play(scenario, questions, world, make)
            photos.add(answered, settings)
            runs.append(asdict(figures_of(answered, energy_j, settings)))
        made.add(name, {metric: np.array([run[metric] for run in runs]) for metric in METRICS}, photos)
    return made
