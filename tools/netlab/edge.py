"""The edge of the lab as a process: one agent that answers each line of standard input, by one route.

In: `{"image": FILE, "question": TEXT}`. Out: `{"ready": true}` once, then one object a question, see `Told`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge_agent.agent import Agent
from edge_agent.cli.build import open_agent, open_model
from edge_agent.cli.options import limits_of, settle
from edge_agent.config import Loaded
from edge_agent.errors import EdgeAgentError
from edge_agent.parts import Limits
from edge_agent.sources.photo import load_photo
from edge_agent.types import Observation

PHOTOS_KEPT = 8  # the questions about a photo stand together


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one question; with an `error` there is no text, and nothing else counts. `total_ms` is the agent's
    own time, `timings_ms` its stages.
    """

    text: str = ""
    route: str = ""
    total_ms: float = 0.0
    bytes_up: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    timings_ms: dict[str, float] | None = None
    error: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.netlab.edge", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--route", choices=("auto", "local", "cloud"), required=True)
    parser.add_argument("--policy")
    parser.add_argument("--deadline-ms", type=float, required=True)
    given = parser.parse_args(arguments)
    loaded = settle(given.config, given.route, given.policy, deadline_ms=given.deadline_ms)
    asyncio.run(_serve(loaded))
    return 0


async def _serve(loaded: Loaded) -> None:
    model = open_model(loaded.config)
    async with open_agent(loaded.config, model, journal=False) as agent:
        _say({"ready": True})
        frame_of = lru_cache(maxsize=PHOTOS_KEPT)(load_photo)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            observation = Observation(asked["question"], (frame_of(Path(asked["image"])),), source=asked["image"])
            _say(asdict(await _told(agent, observation, limits_of(loaded))))


async def _told(agent: Agent, observation: Observation, limits: Limits) -> Told:
    try:
        answer = await agent.ask(observation, limits)
    except EdgeAgentError as error:
        return Told(error=str(error))
    return Told(
        text=answer.text,
        route=answer.route.value,
        total_ms=answer.timings_ms["total"],
        bytes_up=answer.bytes_up,
        draft_tokens=answer.draft_tokens,
        accepted_tokens=answer.accepted_tokens,
        timings_ms=dict(answer.timings_ms),
    )


def _say(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
