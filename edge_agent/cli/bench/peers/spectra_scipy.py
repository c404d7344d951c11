"""The statistics of sound around scipy's FFT, one worker."""

from __future__ import annotations

import scipy.fft

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.spectra import around
from edge_agent.cli.bench.sounds import SoundScene


def contenders(scene: SoundScene) -> list[Contender]:
    """Its FFT in place of NumPy's."""
    return around("scipy", "scipy", lambda frames: scipy.fft.rfft(frames, axis=1, workers=1), scene)
