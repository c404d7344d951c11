"""Times the feature kernels against NumPy and OpenCV on one core, in turn, and prints one JSON object a case.

usage: python tools/bench_features.py [--width 1280 --height 720 --rounds 15]

`ours_us` is the median thread CPU time through the Python interface; each ratio is the median over the rounds of
(time of the peer / ours), so above 1 means that ours is faster. `spread_pct` is the interquartile range of ours.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge_agent.features import isa
from edge_agent.features.kernels import choose

Call = Callable[[], object]


def bits(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def cpu_us(call: Call) -> float:
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) / 1e3


def compare(calls: dict[str, Call], rounds: int) -> dict[str, object]:
    """Times of all calls, one after the other, `rounds` times; the first is ours."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(min(cpu_us(call) for _ in range(3)))
    ours = times.pop(next(iter(calls)))
    low, _, high = statistics.quantiles(ours, n=4)
    return {
        "isa": isa(),
        "ours_us": round(statistics.median(ours), 1),
        "spread_pct": round(100 * (high - low) / statistics.median(ours), 1),
        "ratios": {
            name: round(statistics.median(a / b for a, b in zip(peer, ours, strict=True)), 2)
            for name, peer in times.items()
        },
    }


def pictures(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Two [H, W, 3] frames of slow waves under a little camera noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    waves = (128 + 60 * np.sin(x / 37) + 50 * np.sin(y / 23 + x / 91))[..., None]
    first, second = (np.clip(waves + rng.normal(0, 6, (height, width, 3)), 0, 255) for _ in range(2))
    return first.astype(np.uint8), second.astype(np.uint8)


def opencv_chains(bgr: np.ndarray, grey: np.ndarray, after: np.ndarray) -> dict[str, Call]:
    """What one would write with OpenCV for each feature; `all` is them one after the other."""
    height, width = grey.shape

    def opencv_entropy() -> None:
        bits(cv2.calcHist([grey], [0], None, [256], [0, 256]))

    def opencv_tiles() -> None:
        for top in range(0, height, 32):
            for left in range(0, width, 32):
                block = grey[top : top + 32, left : left + 32]
                bits(cv2.calcHist([block], [0], None, [256], [0, 256]))

    def opencv_edges() -> None:
        dx, dy = cv2.spatialGradient(grey)
        magnitude = cv2.add(cv2.convertScaleAbs(dx), cv2.convertScaleAbs(dy))
        cv2.countNonZero(cv2.compare(magnitude, 128, cv2.CMP_GT))
        cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))

    def opencv_difference() -> None:
        d = cv2.absdiff(grey, after)
        cv2.mean(d)
        cv2.countNonZero(cv2.compare(d, 25, cv2.CMP_GT))

    def opencv_all() -> None:
        cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        opencv_entropy()
        opencv_tiles()
        opencv_edges()
        opencv_difference()

    return {
        "entropy": opencv_entropy,
        "tiles": opencv_tiles,
        "edges": opencv_edges,
        "difference": opencv_difference,
        "all": opencv_all,
    }


def vision_cases(width: int, height: int) -> dict[str, dict[str, Call]]:
    ours, scalar, reference = choose(), choose("scalar"), choose("reference")
    bgr, bgr_after = pictures(width, height)
    grey, after = ours.grey(bgr), ours.grey(bgr_after)
    streams = {kernels: kernels.vision_stream(32, 128.0, 25) for kernels in (ours, scalar, reference)}
    opencv = opencv_chains(bgr, grey, after)
    return {
        "grey": {
            "ours": lambda: ours.grey(bgr),
            "scalar": lambda: scalar.grey(bgr),
            "cv2.cvtColor": lambda: cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY),
        },
        "hist_entropy": {
            "ours": lambda: ours.entropy(grey),
            "scalar": lambda: scalar.entropy(grey),
            "cv2.calcHist": opencv["entropy"],
            "numpy.bincount": lambda: bits(np.bincount(grey.ravel(), minlength=256)),
        },
        "tile32_entropy": {
            "ours": lambda: ours.tile_entropy(grey, 32),
            "scalar": lambda: scalar.tile_entropy(grey, 32),
            "cv2.calcHist loop": opencv["tiles"],
        },
        "edge_laplacian": {
            "ours": lambda: ours.edges(grey, 128.0),
            "scalar": lambda: scalar.edges(grey, 128.0),
            "cv2 chain": opencv["edges"],
        },
        "frame_diff": {
            "ours": lambda: ours.difference(grey, after, 25, 32),
            "scalar": lambda: scalar.difference(grey, after, 25, 32),
            "cv2 chain without map": opencv["difference"],
        },
        "all_vision": {
            "ours": lambda: streams[ours].analyze(bgr),
            "scalar": lambda: streams[scalar].analyze(bgr),
            "cv2 chain with tiles": opencv["all"],
            "reference": lambda: streams[reference].analyze(bgr),
        },
    }


def sound_cases() -> dict[str, dict[str, Call]]:
    ours, scalar, reference = (choose(name).sound_stream(512, 160) for name in (None, "scalar", "reference"))
    samples = (np.random.default_rng(1).standard_normal(16000) * 0.2).astype(np.float32)
    hop = samples[:160].copy()
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)).astype(np.float32)

    def numpy_flux() -> None:
        magnitude = np.abs(np.fft.rfft(sliding_window_view(samples, 512)[::160] * hann, axis=1))
        np.maximum(np.diff(magnitude, axis=0), 0).sum(axis=1)

    return {
        "all_audio, 1 s": {
            "ours": lambda: ours.feed(samples),
            "scalar": lambda: scalar.feed(samples),
            "numpy rfft, flux only": numpy_flux,
            "reference": lambda: reference.feed(samples),
        },
        "hop, 160 samples": {"ours": lambda: ours.feed(hop), "scalar": lambda: scalar.feed(hop)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    versions = {"numpy": np.__version__, "cv2": cv2.__version__, "python": platform.python_version()}
    for case, calls in {**vision_cases(options.width, options.height), **sound_cases()}.items():
        print(json.dumps({"case": case, **compare(calls, options.rounds), "versions": versions}))


if __name__ == "__main__":
    main()
