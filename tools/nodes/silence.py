"""The short run on a quiet machine: what stages take by the clock on the wall, and a whole question beyond its stages.

The long run takes CPU times, which say how questions differ; this one says how long they are. The agent's own overhead
(features, threads, frames, sockets) is what its answers take and send beyond the stages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_agent.cli.build import open_agent, open_model
from edge_agent.cli.cloud_process import CloudProcess
from edge_agent.cli.options import limits_of, settle
from edge_agent.sim.table import CLOUD
from edge_agent.sources.photo import load_photo
from edge_agent.types import Answer, Observation, Route
from tools.nodes.asking import Asking
from tools.nodes.pack import MEASURED
from tools.nodes.profiles import Profile
from tools.nodes.questions import Photo
from tools.nodes.times import STAGES

PHOTOS = 60
THROUGH_AGENT = 40
REPEATS = 3
BLOCK = 8
"""Photos whose stages are timed before the agent is asked about them: one at a time, each would find the processor's
caches full of the other's weights; all at once, the machine may be slower for one than for the other.
"""


def in_silence(profiles: list[Profile], asked: Sequence[Photo]) -> dict[str, Any]:
    """Per profile: `rows` as the long run has them, one question a photo, and what the agent adds to them."""
    chosen = [asked[i] for i in np.linspace(0, len(asked) - 1, min(PHOTOS, len(asked))).astype(int)]
    single = [replace(photo, rows=photo.rows[:1]) for photo in chosen]
    asking = Asking(profiles, REPEATS, time.perf_counter)
    measured = [asking.measure(photo) for photo in single]
    made: dict[str, Any] = {"photos": [[photo.source, photo.name] for photo in single], "profiles": {}}
    twice = [replace(photo, rows=photo.rows[:2]) for photo in chosen if len(photo.rows) > 1]
    for profile in profiles:
        rows = [photo["nodes"][profile.name][0] for photo in measured]
        again = round(float(np.median([asking.again(profile, photo) for photo in twice])), 4)
        beyond = _beyond(asyncio.run(_through_agent(twice[:THROUGH_AGENT], profile)), again, profile)
        made["profiles"][profile.name] = {"rows": rows, "again_prefill": again, **beyond}
    return made


def scales(silence: dict[str, Any], measured: Sequence[dict[str, Any]], profile: str) -> dict[str, float]:
    """Per stage: its median by the wall on a quiet machine over that of the long run, on the same questions."""
    long_run = {(photo["source"], photo["name"]): photo["nodes"][profile][0] for photo in measured}
    pairs = [
        (quiet, long_run[source, name])
        for (source, name), quiet in zip(silence["photos"], silence["profiles"][profile]["rows"], strict=True)
    ]
    found = {}
    for stage in STAGES:
        at = MEASURED.index(stage)
        quiet, long = (float(np.median([pair[side][at] for pair in pairs])) for side in (0, 1))
        found[stage] = round(quiet / long, 4) if long > 0 else 1.0
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """The stages of two questions about a photo, as `pack.MEASURED`, and within seconds the agent's answers."""

    rows: Sequence[Sequence[Any]]
    answers: Sequence[Answer]

    def beyond_ms(self, which: int, prefill_share: float) -> float:
        """What answer `which` took beyond its stages, of whose prompt `prefill_share` had to be read."""
        part = {"prefill_ms": prefill_share, "encode_ms": float(which == 0)}
        stages = sum(self.rows[which][MEASURED.index(stage)] * part.get(stage, 1.0) for stage in STAGES)
        return float(self.answers[which].timings_ms["total"] - stages)


def _beyond(pairs: Sequence[_Pair], again_prefill: float, profile: Profile) -> dict[str, float]:
    """Medians of what the agent's answers took and sent beyond stages and payload."""
    wanted = Route.CLOUD if profile.place == CLOUD else Route.LOCAL
    kept = [pair for pair in pairs if all(answer.route is wanted for answer in pair.answers)]
    if not kept:
        raise SystemExit(f"the agent answered no question as {profile.name} does")

    def median(values: Iterable[float]) -> float:
        return max(0.0, float(np.median(list(values))))

    up, down = MEASURED.index("bytes_up"), MEASURED.index("bytes_down")
    return {
        "overhead_ms": round(median(pair.beyond_ms(0, 1.0) for pair in kept), 3),
        "again_overhead_ms": round(median(pair.beyond_ms(1, again_prefill) for pair in kept), 3),
        "overhead_bytes_up": round(median(pair.answers[0].bytes_up - pair.rows[0][up] for pair in kept)),
        "overhead_bytes_down": round(median(pair.answers[0].bytes_down - pair.rows[0][down] for pair in kept)),
    }


async def _through_agent(asked: Sequence[Photo], profile: Profile) -> list[_Pair]:
    """The whole agent's answers, their stages in between, but for the first of each block; the cloud over loopback."""
    asking = Asking([profile], REPEATS, time.perf_counter)
    async with CloudProcess() as cloud:
        url = cloud.url if profile.place == CLOUD else ""
        route = Route.CLOUD if profile.place == CLOUD else Route.LOCAL
        loaded = settle(None, route=route.value, cloud_url=url, deadline_ms=60_000.0, max_cost=1.0)
        loaded = loaded.override("model.threads", profile.threads, "measure_nodes")
        loaded = loaded.override("model.encoder", profile.encoder, "measure_nodes")
        model = open_model(loaded.config)
        if not profile.tiles:
            model.grid = None
        async with open_agent(loaded.config, model, journal=False) as agent:
            pairs = []
            for start in range(0, len(asked), BLOCK):
                block = asked[start : start + BLOCK]
                rows = [asking.measure(photo)["nodes"][profile.name] for photo in block]
                for photo, stages in zip(block, rows, strict=True):
                    frame = load_photo(photo.path)
                    seen = [Observation(row.question, (frame,), source=photo.name) for row in photo.rows]
                    pairs.append(_Pair(stages, [await agent.ask(one, limits_of(loaded)) for one in seen]))
            return [pair for at, pair in enumerate(pairs) if at % BLOCK]
