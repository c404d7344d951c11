"""The flux of sound in essentia: Windowing, Spectrum and Flux, frame by frame."""

from __future__ import annotations

from typing import Any

import essentia
import essentia.standard
import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.spectra import FLUX_ONLY
from edge_agent.cli.bench.sounds import SoundScene


def contenders(scene: SoundScene) -> list[Contender]:
    """Flux only; it takes single frames whatever the chunk."""
    if scene.case == "all_audio":
        return []
    essentia.log.infoActive = essentia.log.warningActive = False
    window = essentia.standard.Windowing(type="hann", zeroPhase=False)
    spectrum = essentia.standard.Spectrum(size=scene.window)
    flux = essentia.standard.Flux(halfRectify=True, norm="L1")

    def call(index: int) -> list[float]:
        span = scene.span(index)
        return [
            flux(spectrum(window(span[start : start + scene.window]))) for start in range(0, scene.length, scene.hop)
        ]

    units = scene.frames if scene.case == "hop" else 1
    return [Contender("essentia_flux", "essentia", call, _read, FLUX_ONLY, units)]


def _read(result: list[float]) -> dict[str, Any]:
    return {"flux": np.array(result)}
