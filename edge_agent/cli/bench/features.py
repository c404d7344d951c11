"""`edge-agent bench features`: the statistics of pictures and motion against other libraries, by size and input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import click
import numpy as np

from edge_agent import features
from edge_agent.cli.bench.libraries import Library, absent, builders, opencv_distribution
from edge_agent.cli.bench.machine import last_cache_bytes
from edge_agent.cli.bench.measure import Contender, Timing, compare
from edge_agent.cli.bench.options import Asked, Wanted, asking, chosen
from edge_agent.cli.bench.ours import own
from edge_agent.cli.bench.pictures import INPUTS, TEXTURE, Scene, base_frames, multiplied, parse_size, there
from edge_agent.cli.bench.rows import report_runs, timing_row
from edge_agent.errors import UsageError
from edge_agent.features.kernels import choose
from edge_agent.types import U8

CASES = ("grey", "hist_entropy", "tile32_entropy", "tile16_entropy", "edge_laplacian", "frame_diff", "all_vision")
BINDING = "binding"
BINDING_SIZE = "8x8"
FRAMES = 64
SIZES = ("640x480", "1280x720", "1920x1080")
VARIANTS = ("warm", "cold")
TILE16 = 16
LIBRARIES: Mapping[str, Library] = {
    "scalar": Library("scalar", "edge-agent", "edge_agent", "scalar"),
    "numpy": Library("numpy", "numpy", "numpy", "arrays"),
    "cv2": Library("cv2", opencv_distribution(), "cv2", "opencv"),
    "numba": Library("numba", "numba", "numba", "compiled"),
    "pillow": Library("pillow", "pillow", "PIL", "pillow"),
    "scipy": Library("scipy", "scipy", "scipy", "ndimage"),
    "skimage": Library("skimage", "scikit-image", "skimage", "scikit"),
    "av": Library("av", "av", "av", "ffmpeg"),
}


@click.command()
@click.option("--variant", "variants", metavar="NAME", multiple=True, help=f"Only these of {', '.join(VARIANTS)}.")
@asking(INPUTS)
def command(variants: tuple[str, ...], asked: Asked) -> None:
    """Kernels for pictures and motion.

    Warm: two frames in turn, each timing after an untimed call on both. Cold: round and round through frames that
    together take twice the largest cache.
    """
    sizes = chosen_sizes(asked.sizes)
    wanted = replace(asked, sizes=()).checked((*CASES, BINDING), sizes, there(asked.data), tuple(LIBRARIES))
    chosen_variants = chosen(variants, VARIANTS, "variant")
    report_runs(wanted, LIBRARIES, lambda: rows(wanted, chosen_variants))


def chosen_sizes(words: tuple[str, ...]) -> tuple[str, ...]:
    """Sizes as they were typed, or the usual ones. Raises UsageError."""
    wanted = [part.strip() for word in words for part in word.split(",") if part.strip()]
    for word in wanted:
        if parse_size(word) is None:
            raise UsageError(f"--size {word[:40]!r} is no size", "a size is WIDTHxHEIGHT, 16x16 to 4096x4096")
    return tuple(wanted) or SIZES


def rows(wanted: Wanted, variants: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Measures, and gives each row as soon as it is there. Real inputs are measured warm only, unless asked for."""
    peers = builders(LIBRARIES, wanted.peers)
    missing = {library.name: library.install for library in absent(LIBRARIES, wanted.peers)}
    if BINDING in wanted.cases:
        yield binding(wanted.rounds)
    for size in wanted.sizes:
        for name in wanted.inputs:
            bases = base_frames(name, *(parse_size(size) or (0, 0)), wanted.data)
            for variant in variants:
                if variant == "cold" and name != TEXTURE and len(variants) > 1:
                    continue
                for case, pixels in combinations(wanted.cases):
                    scene = make_scene(case, pixels, bases, cold=variant == "cold")
                    extra = {"variant": variant, "input": name, "pixels": pixels, "isa": features.isa()}
                    row = measure_scene(scene, peers, wanted.rounds, variant == "warm", size, extra)
                    yield row | ({"missing": missing} if missing else {})


def combinations(cases: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each case with the kind of pixels that it takes; everything at once takes both."""
    for case in cases:
        if case == BINDING:
            continue
        if case in ("grey", "all_vision"):
            yield case, "bgr"
        if case != "grey":
            yield case, "grey"


def make_scene(case: str, pixels: str, bases: list[U8], *, cold: bool) -> Scene:
    """The frames of one case: two for a warm cache, twice the largest cache for a cold one."""
    frames = bases if pixels == "bgr" else [choose().grey(frame) for frame in bases]
    frames = multiplied(frames, 2 * last_cache_bytes()) if cold else frames[:2]
    return Scene(case, frames, tile=TILE16 if case == "tile16_entropy" else 32)


def measure_scene(
    scene: Scene,
    libraries: list[Callable[[Any], list[Contender]]],
    rounds: int,
    warm: bool,
    size: str,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """One row."""
    peers = [contender for build in libraries for contender in build(scene)]
    ours, timings = compare(own(scene), peers, rounds, warm=warm)
    return timing_row("features", scene.case, size, ours, list(zip(peers, timings, strict=True)), extra)


def binding(rounds: int) -> dict[str, Any]:
    """What a call of `VisionStream.analyze` costs around its work: its time less that of one of many in one call."""
    import cv2

    kernels, pictures = choose(), np.arange(FRAMES * 64, dtype=np.uint8).reshape(FRAMES, 8, 8)
    stream, batch = (kernels.vision_stream(8, 128.0, 25) for _ in range(2))
    out = np.empty_like(pictures[0])
    frames = list(pictures)
    peers = [
        Contender("ours_in_a_batch", "edge-agent", lambda i: batch.analyze_many(pictures), units=FRAMES),
        Contender("ours_new_maps", "edge-agent", lambda i: [stream.analyze(frame) for frame in frames], units=FRAMES),
        Contender("cv2", opencv_distribution(), lambda i: cv2.countNonZero(frames[i % FRAMES]), work="other: counts"),
        Contender(
            "cv2_absdiff", opencv_distribution(), lambda i: cv2.absdiff(frames[0], frames[1], out), work="other: one"
        ),
        Contender("numpy", "numpy", lambda i: frames[i % FRAMES].sum(), work="other: a sum"),
    ]
    call = Contender("ours_call", "edge-agent", one_by_one(stream, frames), units=FRAMES)
    whole, timings = compare(call, peers, rounds)
    around = Timing("ours", tuple(call - work for call, work in zip(whole.us, timings[0].us, strict=True)))
    pairs = list(zip((call, *peers), (replace(whole, ratios=(1.0,)), *timings), strict=True))
    return timing_row("features", BINDING, BINDING_SIZE, around, pairs, {"variant": "warm", "isa": features.isa()})


def one_by_one(stream: Any, frames: list[U8]) -> Callable[[int], None]:
    """A call for each frame, its maps written to the same place."""
    analyze, first, second = stream.analyze, np.empty((1, 1), np.float32), np.empty((1, 1), np.float32)

    def call(_: int) -> None:
        for frame in frames:
            analyze(frame, first, second)

    return call
