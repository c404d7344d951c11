"""What is measured of an observation before any model runs."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.types.arrays import F32


@dataclass(frozen=True, slots=True)
class EmptyTiles:
    """`share` 0..1 of a picture's tiles whose entropy is below `below_bits`."""

    below_bits: float
    share: float


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Single-frame statistics of the grey picture.

    `entropy_bits` 0..8 of the 256-bin histogram; `tile_entropy_bits` [rows, cols] float32, the same per tile;
    `edge_density` 0..1, share of pixels whose Sobel magnitude passes the threshold; `laplacian_variance` >= 0.
    `empty`: summed up for a policy; None where nobody asked.
    """

    width: int
    height: int
    entropy_bits: float
    tile_entropy_bits: F32
    edge_density: float
    laplacian_variance: float
    empty: EmptyTiles | None = None


@dataclass(frozen=True, slots=True)
class MotionFeatures:
    """Difference to the frame before. `mean_abs_diff` 0..255; `changed_share` 0..1; `tile_mean_abs_diff` [rows, cols].

    Where there is no frame before (the first, or after a change of size) all are 0 and `valid` is False.
    """

    mean_abs_diff: float
    changed_share: float
    tile_mean_abs_diff: F32
    valid: bool


@dataclass(frozen=True, slots=True)
class SoundSummary:
    """A sound in three numbers, each 0..1: `quiet_share` of its frames whose energy is below `quiet_energy`;
    `onset_share` of its frames at which something begins; mean `spectral_entropy` of those that are not quiet.
    """

    quiet_energy: float
    quiet_share: float
    onset_share: float
    spectral_entropy: float


@dataclass(frozen=True, slots=True)
class SoundFeatures:
    """Statistics of consecutive STFT frames of one chunk of sound; each array is [frames] float32.

    `flux` >= 0 half-wave rectified spectral flux; `spectral_entropy` 0..1; `flatness` 0..1;
    `energy` mean square of the windowed samples; `zero_crossing_rate` 0..1. `summary`: for a policy; None where nobody
    asked.
    """

    rate_hz: int
    window: int
    hop: int
    flux: F32
    spectral_entropy: F32
    flatness: F32
    energy: F32
    zero_crossing_rate: F32
    summary: SoundSummary | None = None


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """Counts of a question's words: all; numbers and names; those about what is seen; those about what is heard."""

    words: int
    entities: int
    sight_words: int
    sound_words: int


@dataclass(frozen=True, slots=True)
class ModalityFeatures:
    """What the policy may know about an observation before any model runs. A missing modality is None."""

    image: ImageFeatures | None = None
    motion: tuple[MotionFeatures, ...] = ()
    sound: SoundFeatures | None = None
    question: str = ""
    text: TextFeatures | None = None
