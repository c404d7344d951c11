"""One run of a scenario: a policy, a seed, and what became of every question."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from edge_agent.config import CloudSettings, PolicySettings
from edge_agent.policy import (
    GuardedPolicy,
    HybridPolicy,
    OraclePolicy,
    RandomPolicy,
    make_unguarded,
    shipped_predictors,
)
from edge_agent.policy.base import OffloadPolicy
from edge_agent.sim.device import Answered, Device, Journal
from edge_agent.sim.events import Events
from edge_agent.sim.nodes import CloudNode
from edge_agent.sim.scenario import Scenario
from edge_agent.sim.world import Asked, Questions, World

MakePolicy = Callable[[int], OffloadPolicy]
JournalOf = Callable[[int], Journal]


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over the questions of one run. `worth` is right answers less what waiting, money and bytes count, by the
    worths of the policy's settings; `compute_ms` the work of both sides on the machine of the table.
    """

    worth: float
    accuracy: float
    answered: float
    latency_ms: float
    latency_p50_ms: float
    latency_p95_ms: float
    cloud_share: float
    bytes_up: float
    cost_usd: float
    compute_ms: float
    cloud_ms: float
    energy_j: float


TUNABLE = ("accept_entropy", "local_sparsity", "overview_sparsity")
TUNED = ("msao-tuned", "msao-no-mas", "msao-no-draft", "msao-no-compress")
HYBRID_ALL = "hybrid-all-views"
METRICS = tuple(Figures.__dataclass_fields__)


def run_once(
    scenario: Scenario,
    questions: Questions,
    world: World,
    make: MakePolicy,
    settings: PolicySettings,
    journal: JournalOf | None = None,
) -> Figures:
    """The figures of `play`."""
    return figures_of(*play(scenario, questions, world, make, journal), settings)


def play(
    scenario: Scenario, questions: Questions, world: World, make: MakePolicy, journal: JournalOf | None = None
) -> tuple[list[Answered], float]:
    """(what became of the questions, joules spent): every device of the world answers its questions by a policy of its
    own, `make(device)`, inside the guards.
    """
    events = Events()
    cloud = CloudNode(scenario.cloud, events)
    devices = []
    for at, (trace, asked) in enumerate(zip(world.traces, world.asked, strict=True)):
        inner = make(at)
        truth = inner if isinstance(inner, OraclePolicy) else None
        write = None if journal is None else journal(at)
        device = Device(scenario, questions, trace, cloud, events, GuardedPolicy(inner), truth, write, f"device {at}")
        devices.append(device)
        for one in asked:
            events.at(one.at_s, _arrival(device, one))
    events.run()
    answered = [one for device in devices for one in device.answered]
    return answered, sum(device.board.energy_j for device in devices)


def figures_of(answered: Sequence[Answered], energy_j: float, settings: PolicySettings) -> Figures:
    """The figures of what became of the questions. Raises ValueError without any."""
    if not answered:
        raise ValueError("nothing was asked")
    columns = np.array(
        [
            (
                a.right,
                a.answered,
                a.latency_ms,
                a.in_cloud,
                a.bytes_up,
                a.cost_usd,
                a.device_ms + a.cloud_ms,
                a.cloud_ms,
            )
            for a in answered
        ],
        dtype=np.float64,
    )
    right, done, latency_ms, in_cloud, bytes_up, usd, compute_ms, cloud_ms = (float(v) for v in columns.mean(axis=0))
    return Figures(
        worth=worth_of(settings, right, latency_ms, usd, bytes_up),
        accuracy=right,
        answered=done,
        latency_ms=latency_ms,
        latency_p50_ms=float(np.percentile(columns[:, 2], 50)),
        latency_p95_ms=float(np.percentile(columns[:, 2], 95)),
        cloud_share=in_cloud,
        bytes_up=bytes_up,
        cost_usd=usd,
        compute_ms=compute_ms,
        cloud_ms=cloud_ms,
        energy_j=energy_j / len(answered),
    )


def worth_of(settings: PolicySettings, right: float, latency_ms: float, usd: float, bytes_up: float) -> float:
    """Of one question, or of the mean of many, in right answers."""
    paid = settings.usd_worth * usd + settings.megabyte_worth * 1e-6 * bytes_up
    return right - settings.second_worth * 0.001 * latency_ms - paid


def policy_settings(settings: PolicySettings, name: str) -> PolicySettings:
    """The settings of a policy of tables: `name` is one of config.POLICY_NAMES, `oracle`, or a variant."""
    if name in VARIANTS:
        base, changes = VARIANTS[name]
        tuned = tuned_msao(settings.accept_entropy) if name in TUNED else {}
        return replace(settings, name=base, **{**tuned, **changes})
    return settings if name == OraclePolicy.name else replace(settings, name=name)


def make_simulated(settings: PolicySettings, name: str, seed: int) -> OffloadPolicy:
    """A fresh policy of that name; `seed` is for one that draws."""
    if name == OraclePolicy.name:
        return OraclePolicy(settings)
    if name == HYBRID_ALL:
        return HybridPolicy(settings, shipped_predictors(), CloudSettings().codec, all_views=True)
    if name == RandomPolicy.name:
        return RandomPolicy(settings, seed=0x9E3779B97F4A7C15 * (seed + 1))
    return make_unguarded(policy_settings(settings, name), CloudSettings())


@lru_cache(maxsize=8)
def tuned_msao(calibrated: float) -> dict[str, float]:
    """The thresholds that `python -m tools.tune_msao` found; where it has not run, that of the model's calibration."""
    try:
        document = json.loads((files("edge_agent") / "assets" / "msao.json").read_text(encoding="utf-8"))
        found = {key: float(document[key]) for key in TUNABLE}
    except (OSError, ValueError, KeyError, TypeError):
        return {"accept_entropy": calibrated}
    return found if all(0.0 <= value <= 1.0 for value in found.values()) else {"accept_entropy": calibrated}


def _arrival(device: Device, asked: Asked) -> Callable[[], None]:
    return lambda: device.arrive(asked)


# MSAO with its thresholds tuned, its ablations, hybrid without its choice of views, and the bandit with waiting worth
# less and more than the settings say.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "msao-tuned": ("msao", {}),
    "msao-no-mas": ("msao", {"local_sparsity": 2.0, "drop_sparsity": 2.0, "overview_sparsity": 2.0}),
    "msao-no-compress": ("msao", {"overview_sparsity": 2.0}),
    "msao-no-draft": ("msao", {"accept_entropy": 0.0}),
    HYBRID_ALL: ("hybrid", {}),
    "ucb-patient": ("ucb", {"second_worth": 0.01}),
    "ucb-hasty": ("ucb", {"second_worth": 1.0}),
}
