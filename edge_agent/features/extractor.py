"""All features of what an agent sees and hears, with one set of settings."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_agent.features.image import EDGE_THRESHOLD, TILE, image_features
from edge_agent.features.kernels import choose
from edge_agent.features.motion import CHANGE_THRESHOLD, motion_features
from edge_agent.features.sound import HOP, WINDOW, SoundFeatureStream, sound_features
from edge_agent.summary import empty_tiles, sound_summary, text_features
from edge_agent.types import U8, Frame, ImageFeatures, ModalityFeatures, MotionFeatures, Observation, SoundFeatures

EMPTY_BELOW_BITS = 3.0
QUIET_ENERGY = 1e-5


class FeatureExtractor:
    """Features of a stream of frames and of a stream of sound, and of whole observations.

    `tile` 8..1024 pixels; `edge_threshold` 0..10000 on the unscaled Sobel magnitude; `change_threshold` 0..255 grey
    levels; `window` a power of two 32..8192 and `hop` 1..2**20 samples; `isa` one of `available_isas()`, None for the
    one in use. `empty_below_bits` 0..8 and `quiet_energy` >= 0: what a policy calls empty and silent, for the sums in
    what `observe` returns. ValueError where one of them does not fit. Safe to use from several threads.
    """

    def __init__(
        self,
        tile: int = TILE,
        edge_threshold: float = EDGE_THRESHOLD,
        change_threshold: int = CHANGE_THRESHOLD,
        window: int = WINDOW,
        hop: int = HOP,
        isa: str | None = None,
        empty_below_bits: float = EMPTY_BELOW_BITS,
        quiet_energy: float = QUIET_ENERGY,
    ) -> None:
        if not 0.0 <= empty_below_bits <= 8.0:
            raise ValueError(f"empty_below_bits must be from 0 to 8, not {empty_below_bits}")
        if not quiet_energy >= 0.0:
            raise ValueError(f"quiet_energy must be at least 0, not {quiet_energy}")
        kernels = choose(isa)
        self.isa = kernels.name
        self._tile = tile
        self._edge_threshold = edge_threshold
        self._change_threshold = change_threshold
        self._window = window
        self._hop = hop
        self._empty_below_bits = empty_below_bits
        self._quiet_energy = quiet_energy
        self._vision = kernels.vision_stream(tile, edge_threshold, change_threshold)
        self._sound = SoundFeatureStream(window, hop, isa=self.isa)

    def vision(self, pixels: U8) -> tuple[ImageFeatures, MotionFeatures]:
        """The next frame of the stream, [H, W] grey or [H, W, 3] BGR uint8, and its difference to the one before."""
        bits, bit_map, density, variance, valid, mean, share, mean_map = self._vision.analyze(pixels)
        height, width = pixels.shape[:2]
        image = ImageFeatures(width, height, bits, bit_map, density, variance)
        return image, MotionFeatures(mean, share, mean_map, valid)

    def sound(self, samples: NDArray[np.float32] | NDArray[np.int16], rate_hz: int) -> SoundFeatures:
        """The next chunk of the stream; see `SoundFeatureStream.feed`."""
        return self._sound.feed(samples, rate_hz)

    def observe(self, observation: Observation) -> ModalityFeatures:
        """Features of an observation on its own: its key frame, the motion between each two frames, its sound.

        Neither uses nor changes the streams. `motion` has one entry fewer than there are frames.
        """
        frames, audio = observation.frames, observation.audio
        return ModalityFeatures(
            image=self._image(frames[observation.key_frame]) if frames else None,
            motion=tuple(self._motion(a, b) for a, b in pairwise(frames)),
            sound=None if audio is None else self._whole_sound(audio.samples, audio.rate_hz),
            question=observation.question,
            text=text_features(observation.question),
        )

    def reset(self) -> None:
        """Forget the last frame and all sound."""
        self._vision.reset()
        self._sound.reset()

    def _image(self, frame: Frame) -> ImageFeatures:
        image = image_features(frame.pixels, tile=self._tile, edge_threshold=self._edge_threshold, isa=self.isa)
        return replace(image, empty=empty_tiles(image.tile_entropy_bits, self._empty_below_bits))

    def _motion(self, before: Frame, after: Frame) -> MotionFeatures:
        return motion_features(
            before.pixels, after.pixels, tile=self._tile, change_threshold=self._change_threshold, isa=self.isa
        )

    def _whole_sound(self, samples: NDArray[np.float32], rate_hz: int) -> SoundFeatures:
        sound = sound_features(samples, rate_hz, window=self._window, hop=self._hop, isa=self.isa)
        return replace(sound, summary=sound_summary(sound, self._quiet_energy))
