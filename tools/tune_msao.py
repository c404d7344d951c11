"""Tunes MSAO's thresholds by Bayesian optimisation in the simulator, on photos and seeds that nothing is judged on.

    python -m tools.tune_msao             writes edge_agent/assets/msao.json; some minutes; needs `pip install optuna`
    python -m tools.tune_msao --report    prints what it found

Of three thresholds, accept_entropy, local_sparsity and overview_sparsity, those are sought at which mean latency is the
least part of cloud-only's while accuracy stays within POINTS of it, over Wi-Fi and 4G, each question asked once.
Tree-structured Parzen estimators propose (optuna); every proposal meets the same worlds. Run it again after
`tools.fit_nodes`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from edge_agent.cli.simulate import settings_of
from edge_agent.config import Config, PolicySettings
from edge_agent.policy import MsaoPolicy
from edge_agent.sim.scenario import Scenario, TableSpec
from edge_agent.sim.scenario_file import open_scenario
from edge_agent.sim.simulator import Figures, make_simulated, run_once
from edge_agent.sim.world import Questions, World, draw, open_table

SOUGHT = {"accept_entropy": 0.005, "local_sparsity": 0.3, "overview_sparsity": 0.0}  # each up to 1
SCENARIOS = ("wifi-light", "4g-light")
FIRST_SEED = 1_000_000  # far from those that are judged
POINTS = 0.004  # what the headline allows
PENALTY = 100.0  # a point of accuracy too few weighs as much as all of cloud-only's latency


class Objective:
    """The mean over worlds of latency as a part of cloud-only's, and what too little accuracy adds."""

    def __init__(self, settings: PolicySettings, seeds: int) -> None:
        self._settings = settings
        spec = TableSpec(split="fitted")
        self._questions = Questions(open_table(""), spec, settings.tile_entropy_bits)
        self._worlds: list[tuple[Scenario, World, Figures]] = []
        for name in SCENARIOS:
            opened = open_scenario(name)
            arrivals = replace(opened.arrivals, questions=len(self._questions.rows))
            scenario = replace(opened, table=spec, arrivals=arrivals)
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                world = draw(scenario, self._questions, seed)
                cloud = run_once(
                    scenario, self._questions, world, lambda at: make_simulated(settings, "cloud", at), settings
                )
                self._worlds.append((scenario, world, cloud))

    def measure(self, thresholds: Mapping[str, float]) -> tuple[float, float]:
        """(latency as a part of cloud-only's, accuracy over it)."""
        changes: dict[str, Any] = dict(thresholds)
        tried = replace(self._settings, **changes)
        parts, points = [], []
        for scenario, world, cloud in self._worlds:
            found = run_once(scenario, self._questions, world, lambda at: MsaoPolicy(tried), tried)
            parts.append(found.latency_ms / cloud.latency_ms)
            points.append(found.accuracy - cloud.accuracy)
        return sum(parts) / len(parts), sum(points) / len(points)

    def __call__(self, trial: optuna.Trial) -> float:
        part, points = self.measure({key: trial.suggest_float(key, low, 1.0) for key, low in SOUGHT.items()})
        return float(part + PENALTY * max(0.0, -POINTS - points))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("edge_agent/assets/msao.json"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="write nothing")
    wanted = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = settings_of(Config(), Scenario(""))
    objective = Objective(settings, wanted.seeds)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    usual = {key: getattr(settings, key) for key in SOUGHT}
    study.enqueue_trial(usual)
    study.optimize(objective, n_trials=wanted.trials)
    best = study.best_params
    (part, points), before = objective.measure(best), objective.measure(usual)
    document = {
        "version": 1,
        **{key: round(value, 4) for key, value in best.items()},
        "latency_of_cloud_only": round(part, 4),
        "accuracy_over_cloud_only": round(points, 4),
        "before": {
            **usual,
            "latency": round(before[0], 4),
            "accuracy": round(before[1], 4),
        },
        "trials": wanted.trials,
        "measured_with": sorted({f"{n.model} {n.version}" for n in open_table("").nodes.values()}),
        "made_by": "python -m tools.tune_msao",
    }
    print(json.dumps(document, indent=1))
    if not wanted.report:
        wanted.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
