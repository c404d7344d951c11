"""Holds the simulator against the running agent: the same questions to both, what each says of accuracy and latency.

    python -m tools.check_simulator --data DATA/coco/dev.jsonl --cloud URL --limit 500
    python -m tools.check_simulator ... --docs     writes the table into docs/methods.md, too

The agent answers by `edge-agent eval vqa` with a real server at URL (`python -m cloud_stub` on this machine); the
simulator by the scenario `loopback` and the measured table, in the same order and one after the other. It is told two
things of the machine in those minutes, which are no property of device or policy: the mean load average, and how much
slower it encodes and prompts than when the table was measured (`tools/nodes/speed.py`, before and after). Meaningful on
a quiet machine like the table's, with the models that it was measured with. One JSON object a policy; `latency` and
`accuracy` are the simulator's less the agent's, as a part of the agent's median and in points.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.cli.simulate import settings_of
from edge_agent.cli.vqa import read_rows, sample
from edge_agent.config import Config
from edge_agent.monitors.load import load_share
from edge_agent.sim.scenario_file import open_scenario
from edge_agent.sim.simulator import Figures, make_simulated, run_once
from edge_agent.sim.world import Asked, Questions, draw, open_table
from tools.marked import DOCS, write_marked
from tools.nodes.questions import identity
from tools.nodes.speed import Speed

APART_S = 10.0  # between two questions of the simulation: each finds an idle device, as in `eval vqa`
POLL_S = 0.25
PROBES = 25  # pictures


class Check:
    """The questions that `eval vqa` draws of `data` with that seed, and their rows of the table."""

    def __init__(self, data: Path, limit: int, seed: int) -> None:
        self._table, self._data, self._limit, self._seed = open_table(""), data, limit, seed
        source = f"{data.parent.name}-{data.stem}"
        place = {int(one): row for row, one in enumerate(self._table.identity)}
        asked = [
            (row.image, row.question, place.get(identity(source, row.image.name, row.question), -1))
            for row in sample(read_rows(data), limit, seed)
        ]
        known = [one for one in asked if one[2] >= 0]
        if len(known) < 0.9 * len(asked):
            raise SystemExit(f"only {len(known)} of {len(asked)} questions were measured as {source}")
        self.rows = [row for *_, row in known]
        self._speed = Speed(self._table, list({one[0]: one for one in known}.values())[:PROBES])

    def __call__(self, policy: str, cloud: str) -> dict[str, Any]:
        """What both say of a policy."""
        before = self._speed.now()
        real, load = measured(policy, self._data, self._limit, self._seed, cloud)
        slowdown = 0.5 * (before + self._speed.now())
        said, p50 = self._simulated(policy, load, slowdown), real["latency_ms"]["p50"]
        return {
            "policy": policy,
            "data": "/".join(self._data.parts[-2:]),
            "questions": real["n"],
            "load": round(load, 3),
            "slowdown": round(slowdown, 3),
            "agent": {k: real[k] for k in ("accuracy", "cloud_share", "bytes_up_mean")} | {"p50_ms": p50},
            "simulator": {
                "accuracy": round(said.accuracy, 4),
                "cloud_share": round(said.cloud_share, 4),
                "bytes_up_mean": round(said.bytes_up),
                "p50_ms": round(said.latency_p50_ms, 2),
            },
            "latency": round(said.latency_p50_ms / p50 - 1.0, 4),
            "accuracy": round(100 * (said.accuracy - real["accuracy"]), 2),
        }

    def _simulated(self, policy: str, load: float, slowdown: float) -> Figures:
        scenario = open_scenario("loopback")
        settings = settings_of(Config(), scenario)
        questions = Questions(self._table, scenario.table, settings.tile_entropy_bits)
        scenario = replace(
            scenario,
            arrivals=replace(scenario.arrivals, questions=len(self.rows), per_minute=60.0 / APART_S),
            device=replace(scenario.device, cores=1024, other_load=load, slowdown=slowdown),
            cloud=replace(scenario.cloud, slowdown=slowdown),
        )
        asked = tuple(Asked(APART_S * at, row, private=False) for at, row in enumerate(self.rows))
        world = replace(draw(scenario, questions, 0), asked=(asked,))
        return run_once(scenario, questions, world, lambda at: make_simulated(settings, policy, at), settings)


def measured(policy: str, data: Path, limit: int, seed: int, cloud: str) -> tuple[dict[str, Any], float]:
    """(what `edge-agent eval vqa` says, mean load a core meanwhile)."""
    command = [sys.executable, "-m", "edge_agent", "eval", "vqa", "--data", str(data), "--policy", policy, "--json"]
    command += ["--cloud", cloud, "--limit", str(limit), "--seed", str(seed), "--deadline-ms", "60000"]
    loads = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said, subprocess.Popen(command, stdout=said) as running:
        while running.poll() is None:
            loads.append(load_share() or 0.0)
            time.sleep(POLL_S)
        if running.returncode != 0:
            raise SystemExit(f"`{' '.join(command[2:])}` ended with exit code {running.returncode}")
        said.seek(0)
        return dict(json.loads(said.read())), float(np.mean(loads))


def table(records: list[dict[str, Any]]) -> str:
    """What was found, as Markdown."""
    models = ", ".join(sorted({f"`{n.model}` {n.version}" for n in open_table("").nodes.values()}))
    rows = [
        f"{records[0]['questions']} questions of `{records[0]['data']}`, models {models}: right answers, median "
        "milliseconds, and what goes up",
        "",
        "| policy | agent | simulator | latency | accuracy |",
        "|---|---|---|---|---|",
    ]
    for record in records:
        said = " | ".join(
            f"{100 * one['accuracy']:.1f} %, {one['p50_ms']:.1f} ms, {100 * one['cloud_share']:.0f} %"
            for one in (record["agent"], record["simulator"])
        )
        rows.append(
            f"| `{record['policy']}` | {said} | {100 * record['latency']:+.0f} % | {record['accuracy']:+.1f} points |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cloud", default="http://127.0.0.1:8787")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", default="local,cloud,moa-off,msao,qlmio,tmo,hybrid,cascade,ucb")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/methods.md")
    wanted = parser.parse_args()
    check, records = Check(wanted.data, wanted.limit, wanted.seed), []
    for policy in wanted.policy.split(","):
        records.append(check(policy, wanted.cloud))
        print(json.dumps(records[-1]), flush=True)
    if wanted.docs:
        write_marked(DOCS / "methods.md", "agent", table(records))


if __name__ == "__main__":
    main()
