"""The statistics of sound in librosa."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.spectra import FLUX_ONLY, hann
from edge_agent.cli.bench.sounds import SoundScene

THREE = "less: no flux and no entropy; root mean square without the window; counts crossings its own way"


def contenders(scene: SoundScene) -> list[Contender]:
    """Flux from its spectrogram, and the three of its own features that come near ours. One call takes a chunk."""
    if scene.case == "flux_only":
        return [
            Contender("librosa_flux", "librosa", lambda i: _flux(scene, i), lambda r: {"flux_inside": r}, FLUX_ONLY)
        ]
    if scene.case == "all_audio":
        return [Contender("librosa_flatness_zcr_rms", "librosa", lambda i: _three(scene, i), _read_three, THREE)]
    return []


def _flux(scene: SoundScene, index: int) -> Any:
    """[frames - 1]: of all frames of a chunk but the first."""
    window = hann(scene.window)
    spectrum = librosa.stft(
        scene.span(index), n_fft=scene.window, hop_length=scene.hop, window=window, center=False
    )  # [bins, frames] complex64
    magnitude = np.abs(spectrum) * np.float32(2 / window.sum(dtype=np.float64))
    return np.maximum(np.diff(magnitude, axis=1), 0).sum(axis=0)


def _three(scene: SoundScene, index: int) -> tuple[Any, Any, Any]:
    samples, window, hop = scene.span(index), scene.window, scene.hop
    return (
        librosa.feature.spectral_flatness(y=samples, n_fft=window, hop_length=hop, center=False)[0],
        librosa.feature.zero_crossing_rate(samples, frame_length=window, hop_length=hop, center=False)[0],
        librosa.feature.rms(y=samples, frame_length=window, hop_length=hop, center=False)[0],
    )


def _read_three(result: tuple[Any, Any, Any]) -> dict[str, Any]:
    return dict(zip(("flatness", "zero_crossing_rate", "rms"), result, strict=True))
