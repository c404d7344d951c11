"""The picture that reaches the encoder is the one that the model was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.errors import InputError, ModelError
from edge_agent.vlm import ImageProcessor

CONFIG = {
    "size": {"height": 8, "width": 8},
    "rescale_factor": 1 / 255,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}


def test_values_are_scaled_and_channels_become_rgb() -> None:
    bgr = np.zeros((8, 8, 3), dtype=np.uint8)
    bgr[:, :] = (0, 127, 255)
    pixels = ImageProcessor.from_config(CONFIG)(bgr)
    assert pixels.shape == (1, 1, 3, 8, 8)
    assert pixels.dtype == np.float32
    red, green, blue = pixels[0, 0, :, 0, 0]
    assert red == pytest.approx(1.0, abs=1e-5)
    assert green == pytest.approx(0.0, abs=1e-5)
    assert blue == pytest.approx(-127 / 128, abs=1e-5)


def test_shrinking_averages_so_that_thin_lines_do_not_vanish() -> None:
    bgr = np.zeros((64, 64, 3), dtype=np.uint8)
    bgr[:, ::8] = 255
    small = ImageProcessor.from_config(CONFIG).resize(bgr)
    assert small.min() > 20
    assert small.max() < 45


def test_growing_and_any_aspect_fill_the_whole_size() -> None:
    small = ImageProcessor.from_config(CONFIG).resize(np.full((2, 5, 3), 9, dtype=np.uint8))
    assert small.shape == (8, 8, 3)
    assert (small == 9).all()


def test_the_callers_picture_is_not_written_to() -> None:
    bgr = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    before = bgr.copy()
    bgr.setflags(write=False)
    ImageProcessor.from_config(CONFIG)(bgr)
    assert (bgr == before).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), dtype=np.uint8),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((0, 8, 3), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.float32),
    ],
    ids=["grey", "alpha", "empty", "float"],
)
def test_what_is_no_bgr_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(InputError):
        ImageProcessor.from_config(CONFIG)(picture)


def test_a_giant_picture_is_refused_before_memory_is_taken() -> None:
    giant = np.broadcast_to(np.zeros((1, 1, 3), dtype=np.uint8), (30_000, 30_000, 3))
    with pytest.raises(InputError, match="30000x30000"):
        ImageProcessor.from_config(CONFIG)(giant)


@pytest.mark.parametrize("missing", sorted(CONFIG))
def test_a_config_without_a_key_is_refused(missing: str) -> None:
    with pytest.raises(ModelError, match="preprocessor_config"):
        ImageProcessor.from_config({k: v for k, v in CONFIG.items() if k != missing})


def test_a_config_of_a_silly_size_is_refused() -> None:
    with pytest.raises(ModelError, match="out of range"):
        ImageProcessor.from_config({**CONFIG, "size": {"height": 10**6, "width": 8}})
