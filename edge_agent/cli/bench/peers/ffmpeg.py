"""The statistics of pictures by ffmpeg's filters through PyAV: `entropy` and `scdet`, in one thread."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import av.filter

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.pictures import Scene

RATE = Fraction(1, 25)


def contenders(scene: Scene) -> list[Contender]:
    """What the filters offer; frames are made from the arrays before anything is timed. PyAV must show metadata."""
    if not hasattr(av.VideoFrame, "metadata"):
        return []
    if scene.case == "hist_entropy":
        return [Contender("av_entropy", "av", _through(scene, "entropy", ""), _read_entropy)]
    if scene.case == "frame_diff":
        work = "less: sad_only, the mean alone"
        return [Contender("av_scdet_sad_only", "av", _through(scene, "scdet", "threshold=100"), _read_mean, work)]
    return []


def _through(scene: Scene, name: str, options: str) -> Callable[[int], Any]:
    height, width = scene.shape
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add("buffer", args=f"video_size={width}x{height}:pix_fmt=gray:time_base=1/25:pixel_aspect=1/1")
    middle, sink = graph.add(name, options), graph.add("buffersink")
    source.link_to(middle)
    middle.link_to(sink)
    graph.configure()
    frames = [av.VideoFrame.from_ndarray(frame, format="gray") for frame in scene.frames]
    time = 0

    def call(index: int) -> Any:
        nonlocal time
        frame = frames[index % len(frames)]
        time += 1
        frame.pts, frame.time_base = time, RATE
        graph.push(frame)
        return graph.pull()

    return call


def _read_entropy(frame: Any) -> dict[str, Any]:
    return {"entropy": float(frame.metadata["lavfi.entropy.entropy.normal.Y"])}


def _read_mean(frame: Any) -> dict[str, Any]:
    """`mafd` is in percent of 256, to three places."""
    return {"mean_abs_diff": float(frame.metadata["lavfi.scd.mafd"]) * 2.56}
