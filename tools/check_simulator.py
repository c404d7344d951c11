"""Holds the simulator against the running agent: the same questions to both, what each says of accuracy and latency.

    python -m tools.check_simulator --data DATA/coco/dev.jsonl --cloud URL --limit 500
    python -m tools.check_simulator ... --docs     writes the table into docs/methods.md, too

The agent answers by `edge-agent eval vqa` with a real server at URL (`python -m cloud_stub` on this machine); the
simulator by the scenario `loopback` and the measured table. Meaningful on a quiet machine like the table's, with the
models that it was measured with. One JSON object a policy; `latency` and `accuracy` are the simulator's less the
agent's, as a part of the agent's median and in points.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.cli.simulate import settings_of
from edge_agent.cli.vqa import read_rows, sample
from edge_agent.config import Config
from edge_agent.sim.scenario_file import open_scenario
from edge_agent.sim.simulator import Figures, make_simulated, run_once
from edge_agent.sim.world import Questions, draw, open_table
from tools.marked import DOCS, write_marked
from tools.nodes.questions import identity


def simulated(policy: str, data: Path, limit: int, seed: int) -> Figures:
    """What the simulator says of the questions that `eval vqa` draws with that seed."""
    table, scenario = open_table(""), open_scenario("loopback")
    source = f"{data.parent.name}-{data.stem}"
    wanted = {identity(source, row.image.name, row.question) for row in sample(read_rows(data), limit, seed)}
    rows = np.flatnonzero(np.isin(table.identity, list(wanted)))
    if len(rows) < 0.9 * len(wanted):
        raise SystemExit(f"only {len(rows)} of {len(wanted)} questions were measured as {source}")
    settings = settings_of(Config(), scenario)
    questions = Questions(table, scenario.table, settings.tile_entropy_bits)
    questions.rows = rows
    scenario = replace(scenario, arrivals=replace(scenario.arrivals, questions=len(rows)))
    world = draw(scenario, questions, 0)
    return run_once(scenario, questions, world, lambda at: make_simulated(settings, policy, at), settings)


def measured(policy: str, data: Path, limit: int, seed: int, cloud: str) -> dict[str, Any]:
    """What `edge-agent eval vqa` says."""
    command = [sys.executable, "-m", "edge_agent", "eval", "vqa", "--data", str(data), "--policy", policy, "--json"]
    command += ["--cloud", cloud, "--limit", str(limit), "--seed", str(seed), "--deadline-ms", "60000"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


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
    records = []
    for policy in wanted.policy.split(","):
        said = simulated(policy, wanted.data, wanted.limit, wanted.seed)
        real = measured(policy, wanted.data, wanted.limit, wanted.seed, wanted.cloud)
        p50 = real["latency_ms"]["p50"]
        record = {
            "policy": policy,
            "data": "/".join(wanted.data.parts[-2:]),
            "questions": real["n"],
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
        print(json.dumps(record), flush=True)
        records.append(record)
    if wanted.docs:
        write_marked(DOCS / "methods.md", "agent", table(records))


if __name__ == "__main__":
    main()
