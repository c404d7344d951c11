"""The statistics of sound around FFTW, planned beforehand for this very shape, one thread."""

from __future__ import annotations

from typing import Any

import pyfftw

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.spectra import around
from edge_agent.cli.bench.sounds import SoundScene


def contenders(scene: SoundScene) -> list[Contender]:
    """A plan, which leaves its input as it is, for all frames of a chunk at once, for one frame where hops are fed."""
    frames = 1 if scene.case == "hop" else scene.frames
    before = pyfftw.empty_aligned((frames, scene.window), dtype="float32")
    after = pyfftw.empty_aligned((frames, scene.window // 2 + 1), dtype="complex64")
    plan = pyfftw.FFTW(before, after, axes=(1,), flags=("FFTW_PATIENT",), threads=1, planning_timelimit=10.0)

    def transform(windowed: Any) -> Any:
        plan.execute()
        return after

    return around("pyfftw", "pyfftw", transform, scene, before)
