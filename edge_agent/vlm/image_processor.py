"""From a BGR picture to the vision encoder's input, exactly as the model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.errors import InputError, ModelError
from edge_agent.types import F32, U8

MAX_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class ImageProcessor:
    """Settings of `preprocessor_config.json`: the picture is stretched to `height` x `width`, made RGB, multiplied by
    `rescale`, then `mean` is taken away and `std` divided by, a value a channel.
    """

    height: int
    width: int
    rescale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageProcessor:
        """Reads the keys that Hugging Face image processors write; raises ModelError if one is missing or odd."""
        try:
            size = config["size"]
            mean, std = [float(v) for v in config["image_mean"]], [float(v) for v in config["image_std"]]
            made = cls(
                int(size["height"]),
                int(size["width"]),
                float(config["rescale_factor"]),
                (mean[0], mean[1], mean[2]),
                (std[0], std[1], std[2]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(
                f"preprocessor_config.json does not describe a picture size, mean and std ({error!r})",
                "edge-agent models verify",
            ) from error
        if not (0 < made.height <= 4096 and 0 < made.width <= 4096 and all(s > 0 for s in made.std)):
            raise ModelError("preprocessor_config.json has a size or std out of range", "edge-agent models verify")
        return made

    def resize(self, bgr: U8) -> U8:
        """[H, W, 3] uint8 to [height, width, 3] uint8: area averaging when it shrinks, bilinear when it grows.

        The aspect ratio is not kept: every part of the picture is seen. Raises InputError on another shape or dtype.
        """
        check_picture(bgr)
        rows, cols = int(bgr.shape[0]), int(bgr.shape[1])
        if (rows, cols) == (self.height, self.width):
            return bgr
        import cv2

        shrinks = rows * cols > self.height * self.width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small: U8 = np.asarray(cv2.resize(bgr, (self.width, self.height), interpolation=how), dtype=np.uint8)
        return small

    def __call__(self, bgr: U8) -> F32:
        """[H, W, 3] uint8 BGR to pixel_values [1, 1, 3, height, width] float32; a new array that the caller owns."""
        rgb = self.resize(bgr)[:, :, ::-1]  # [height, width, 3] uint8
        scale = np.float32(self.rescale) / np.asarray(self.std, dtype=np.float32)
        shift = np.asarray(self.mean, dtype=np.float32) / np.asarray(self.std, dtype=np.float32)
        values = rgb.astype(np.float32) * scale - shift  # [height, width, 3] float32
        pixels: F32 = np.ascontiguousarray(values.transpose(2, 0, 1)[None, None])  # [1, 1, 3, height, width]
        return pixels


def check_picture(bgr: U8) -> U8:
    """The same picture. Raises InputError where it is not [H, W, 3] uint8 or is over MAX_PIXELS."""
    if bgr.dtype != np.uint8 or bgr.ndim != 3 or bgr.shape[2] != 3 or not bgr.size:
        raise InputError(
            f"a picture must be [height, width, 3] uint8, got {list(bgr.shape)} {bgr.dtype}",
            "convert it to BGR first",
        )
    rows, cols = int(bgr.shape[0]), int(bgr.shape[1])
    if rows * cols > MAX_PIXELS:
        raise InputError(f"a picture of {cols}x{rows} is over {MAX_PIXELS} pixels", "scale it down first")
    return bgr
