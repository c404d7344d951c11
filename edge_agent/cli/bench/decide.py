"""`edge-agent bench decide`: what one decision takes in process, by policy, from features and from pixels and sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import click
import numpy as np

from edge_agent import features
from edge_agent.cli.bench.measure import Contender, compare
from edge_agent.cli.bench.options import chosen, rounds_option, runs_option
from edge_agent.cli.bench.pictures import texture
from edge_agent.cli.bench.rows import Report, timing_row
from edge_agent.cli.bench.sounds import NOISE, RATE_HZ, base_sound
from edge_agent.cli.options import json_option
from edge_agent.config import POLICY_NAMES, Config
from edge_agent.features import FeatureExtractor
from edge_agent.policy import make_policy
from edge_agent.types import AudioWindow, Frame, Modality, Observation, SystemState

GIVEN = "features"
SIZES = (GIVEN, "640x480+1s", "1280x720+1s")
QUESTIONS = (
    "is there a person in the picture?",
    "how many cups are on the table, and which of them is nearest to the window?",
    "what is this?",
)
PUBLISHED = {
    "rule router": {"us": 99.0, "said": "99 us, the fastest figure found for a router by rules"},
    "semantic router": {"us": 50000.0, "said": "about 50 ms, routers that embed the question first"},
    "Bifrost complexity router": {
        "us": 1000.0,
        "said": "less than 1 ms",
        "url": "https://docs.getbifrost.ai/features/governance/complexity-router",
    },
}
"""What others say of their own routers, on their own machines and for text alone: not measured here."""


@click.command()
@click.option("--case", "cases", metavar="POLICY", multiple=True, help=f"Only these of {', '.join(POLICY_NAMES)}.")
@click.option("--size", "sizes", metavar="SIZE", multiple=True, help=f"Only these of {', '.join(SIZES)}.")
@rounds_option
@runs_option
@json_option
def command(cases: tuple[str, ...], sizes: tuple[str, ...], rounds: int, runs: int, as_json: bool) -> None:
    """The decision about a question, nothing run or sent.

    Size `features`: they are given, and a policy decides within its guards. The others begin with a picture of that
    size and a second of sound. What other routers are said to take is cited, not measured.
    """
    wanted_cases, wanted_sizes = chosen(cases, POLICY_NAMES, "case"), chosen(sizes, SIZES, "size")
    report = Report(as_json)
    for run in range(1, runs + 1):
        for row in rows(wanted_cases, wanted_sizes, rounds):
            report.row(row | ({"run": run} if runs > 1 else {}))
    if not as_json:
        for name, router in PUBLISHED.items():
            click.echo(f"cited, not measured: {name}: {router['said']} {router.get('url', '')}".rstrip())


def rows(cases: tuple[str, ...], sizes: tuple[str, ...], rounds: int) -> Iterator[dict[str, Any]]:
    """One row a size and policy."""
    for size in sizes:
        pixels = size if size != GIVEN else SIZES[1]
        width, height = (int(side) for side in pixels.partition("+")[0].split("x"))
        observations = seen(width, height)
        for case in cases:
            ours, _ = compare(deciding(case, observations, given=size == GIVEN), (), rounds)
            yield timing_row("decide", case, size, ours, (), {"published": PUBLISHED, "isa": features.isa()})


def seen(width: int, height: int) -> list[Observation]:
    """An observation for each question: a picture of the texture and a second of sound."""
    frames = tuple(Frame(np.ascontiguousarray(pixels), 0.1 * i, i) for i, pixels in enumerate(texture(width, height)))
    sound = AudioWindow(base_sound(NOISE, 1.0, None), RATE_HZ)
    return [Observation(question, frames[:1], sound) for question in QUESTIONS]


def deciding(name: str, observations: list[Observation], *, given: bool) -> Contender:
    """A policy within its guards, with a cloud that is there and limits that hold it back from nothing."""
    config = Config()
    policy = make_policy(replace(config.policy, name=name, accept_entropy=0.5), config.cloud)
    state = SystemState(
        cloud_configured=True,
        cloud_reachable=True,
        rtt_ms=40.0,
        uplink_mbps=8.0,
        edge_load=0.4,
        temperature_celsius=55.0,
        memory_available_mb=2000.0,
        encodable=(Modality.IMAGE, Modality.AUDIO),
        embedding_bytes_estimate=10_000,
        sound_bytes_estimate=5_000,
        deadline_ms=5000.0,
        max_cost_usd=0.01,
        budget_left_usd=1.0,
        cloud_cost_estimate_usd=0.0002,
        cloud_latency_estimate_ms=300.0,
        local_latency_estimate_ms=150.0,
    )
    extractor = FeatureExtractor()
    described = [extractor.observe(observation) for observation in observations]
    count = len(described)
    if given:
        return Contender("ours", "edge-agent", lambda i: policy.decide(described[i % count], state, ()))
    return Contender(
        "ours", "edge-agent", lambda i: policy.decide(extractor.observe(observations[i % count]), state, ())
    )
