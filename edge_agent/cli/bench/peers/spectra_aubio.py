"""The flux of sound in aubio: a phase vocoder and specflux, hop by hop."""

from __future__ import annotations

from typing import Any

import aubio
import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.spectra import FLUX_ONLY, hann
from edge_agent.cli.bench.sounds import SoundScene


def contenders(scene: SoundScene) -> list[Contender]:
    """Flux only; it takes single hops whatever the chunk."""
    if scene.case == "all_audio":
        return []
    vocoder, flux = aubio.pvoc(scene.window, scene.hop), aubio.specdesc("specflux", scene.window)
    for start in range(0, scene.lead - scene.hop + 1, scene.hop):
        vocoder(scene.samples[start : start + scene.hop])

    def call(index: int) -> list[Any]:
        chunk = scene.chunk(index)
        return [flux(vocoder(chunk[start : start + scene.hop]))[0] for start in range(0, scene.length, scene.hop)]

    scale = 2 / hann(scene.window).sum(dtype=np.float64)
    units = scene.frames if scene.case == "hop" else 1
    return [Contender("aubio_flux", "aubio", call, lambda r: {"flux": np.array(r) * scale}, FLUX_ONLY, units)]
