"""Our own statistics of sound as contenders, and their outputs by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.sounds import CHUNKS, RATE_HZ, WINDOW, SoundScene
from edge_agent.features.kernels import choose
from edge_agent.features.sound import SoundFeatureStream

ROWS = ("flux", "spectral_entropy", "flatness", "energy", "zero_crossing_rate")


def own_sound(scene: SoundScene, isa: str | None = None) -> Contender:
    """All statistics whatever the case, the lead fed, by kernels of an instruction set, None for those in use."""
    stream = choose(isa).sound_stream(WINDOW, scene.hop)
    stream.feed(scene.samples[: scene.lead])
    if scene.case != "hop":
        return Contender("ours", "edge-agent", lambda i: stream.feed(scene.chunk(i)), read_rows)
    return Contender("ours", "edge-agent", by_hop(scene, stream.feed), read_hops, units=scene.frames)


def named(scene: SoundScene) -> Contender:
    """Ours once more, hop by hop, with a lock and named fields around it as `SoundFeatureStream` has them."""
    stream = SoundFeatureStream(WINDOW, scene.hop)
    stream.feed(scene.samples[: scene.lead], RATE_HZ)
    call = by_hop(scene, lambda samples: stream.feed(samples, RATE_HZ))
    return Contender("ours_named_fields", "edge-agent", call, _read_named_hops, units=scene.frames)


def by_hop(scene: SoundScene, feed: Callable[[Any], Any]) -> Callable[[int], list[Any]]:
    """Feeds a chunk hop by hop."""
    hops = [
        [scene.chunk(i)[start : start + scene.hop] for start in range(0, scene.length, scene.hop)]
        for i in range(CHUNKS)
    ]
    return lambda index: [feed(hop) for hop in hops[index % CHUNKS]]


def read_rows(result: Any) -> Mapping[str, Any]:
    """Outputs of `feed`, [5, frames], by name."""
    return dict(zip(ROWS, result, strict=True))


def read_hops(result: list[Any]) -> Mapping[str, Any]:
    """Outputs of many `feed`, each [5, 1], by name."""
    return {name: [float(one[row, 0]) for one in result] for row, name in enumerate(ROWS)}


def _read_named_hops(result: list[Any]) -> Mapping[str, Any]:
    return {name: [float(getattr(one, name)[0]) for one in result] for name in ROWS}
