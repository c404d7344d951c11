"""The short run on a quiet machine: what stages take by the clock on the wall, and a whole question beyond its stages.

The long run takes CPU times, which say how questions differ; this one says how long they are. The agent's own overhead
(features, threads, frames, sockets) is what its answers take and send beyond the stages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
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

PHOTOS = 60
THROUGH_AGENT = 40
REPEATS = 3
STAGES = ("encode_ms", "code_ms", "prefill_ms", "decode_ms")


def in_silence(profiles: list[Profile], asked: Sequence[Photo]) -> dict[str, Any]:
    """Per profile: `rows` as the long run has them, one question a photo, and what the agent adds to them."""
    chosen = [asked[i] for i in np.linspace(0, len(asked) - 1, min(PHOTOS, len(asked))).astype(int)]
    single = [replace(photo, rows=photo.rows[:1]) for photo in chosen]
    asking = Asking(profiles, REPEATS, time.perf_counter)
    measured = [asking.measure(photo) for photo in single]
    made: dict[str, Any] = {"photos": [[photo.source, photo.name] for photo in single], "profiles": {}}
    for profile in profiles:
        rows = [photo["nodes"][profile.name][0] for photo in measured]
        answers = asyncio.run(_through_agent(single[:THROUGH_AGENT], profile))
        shares = [asking.again(profile, photo) for photo in chosen if len(photo.rows) > 1]
        again = round(float(np.median(shares)), 4)
        made["profiles"][profile.name] = {"rows": rows, "again_prefill": again, **_beyond(rows, answers, profile)}
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


def _beyond(rows: Sequence[Sequence[Any]], answers: Sequence[Answer], profile: Profile) -> dict[str, float]:
    """Medians of what the agent's answers took and sent beyond stages and payload, without the first few (warm-up)."""
    wanted = Route.CLOUD if profile.place == CLOUD else Route.LOCAL
    more = [
        (
            answer.timings_ms["total"] - sum(row[MEASURED.index(stage)] for stage in STAGES),
            answer.bytes_up - row[MEASURED.index("bytes_up")],
            answer.bytes_down - row[MEASURED.index("bytes_down")],
        )
        for row, answer in list(zip(rows, answers, strict=False))[5:]
        if answer.route is wanted
    ]
    if not more:
        raise SystemExit(f"the agent answered no question as {profile.name} does")
    ms, up, down = (max(0.0, float(np.median(values))) for values in zip(*more, strict=True))
    return {"overhead_ms": round(ms, 3), "overhead_bytes_up": round(up), "overhead_bytes_down": round(down)}


async def _through_agent(asked: Sequence[Photo], profile: Profile) -> list[Answer]:
    """The answers of the whole agent, one after the other; the cloud over loopback."""
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
            answers = []
            for photo in asked:
                observation = Observation(photo.rows[0].question, (load_photo(photo.path),), source=photo.name)
                answers.append(await agent.ask(observation, limits_of(loaded)))
            return answers
