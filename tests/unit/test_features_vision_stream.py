"""A stream of frames: where it starts, what tiles it has, and maps that the caller keeps."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.features import FeatureExtractor, available_isas, image_features
from edge_agent.features.kernels import choose

every_isa = pytest.mark.parametrize("isa", available_isas())


def frame(seed: int, height: int = 45, width: int = 70, channels: int = 3) -> np.ndarray:
    shape = (height, width, 3)[: 2 if channels == 1 else 3]
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@every_isa
def test_a_frame_of_another_size_starts_the_stream_anew_and_says_so(isa):
    extractor = FeatureExtractor(isa=isa)
    sizes = [(45, 70), (45, 70), (70, 45), (70, 45), (45, 70)]
    for seed, (size, going_on) in enumerate(zip(sizes, [False, True, False, True, False], strict=True)):
        _, motion = extractor.vision(frame(seed, *size))
        assert motion.valid is going_on
        assert (motion.mean_abs_diff > 0) is going_on
        assert motion.tile_mean_abs_diff.any() == going_on


@every_isa
def test_reset_starts_the_stream_anew(isa):
    extractor = FeatureExtractor(isa=isa)
    extractor.vision(frame(1))
    extractor.reset()
    assert extractor.vision(frame(1))[1].valid is False
    assert extractor.vision(frame(1))[1].valid is True


@every_isa
def test_grey_and_colour_frames_of_one_size_are_one_stream(isa):
    kernels = choose(isa)
    stream = kernels.vision_stream(32, 128.0, 25)
    stream.analyze(kernels.grey(frame(1)))
    *_, has_motion, mean, share, _ = stream.analyze(frame(1))
    assert (has_motion, mean, share) == (True, 0.0, 0.0)


@every_isa
@pytest.mark.parametrize("tile", [64, 65, 100, 1024])
def test_a_tile_larger_than_the_frame_is_one_tile_of_the_frame(isa, tile):
    picture = frame(2, 33, 47)
    image = image_features(picture, tile=tile, isa=isa)
    assert image.tile_entropy_bits.shape == (1, 1)
    assert image.tile_entropy_bits[0, 0] == pytest.approx(image.entropy_bits, abs=1e-6)


@every_isa
@pytest.mark.parametrize("channels", [1, 3])
def test_a_cut_out_and_a_read_only_frame_are_taken_as_they_are(isa, channels):
    whole = frame(3, 60, 90, channels)
    part = whole[7:52, 5:75]
    part.flags.writeable = False
    stream, wanted_stream = (choose(isa).vision_stream(16, 128.0, 25) for _ in range(2))
    for _ in range(2):
        result, wanted = stream.analyze(part), wanted_stream.analyze(part.copy())
        assert all(np.array_equal(value, wanted_value) for value, wanted_value in zip(result, wanted, strict=True))


@every_isa
@pytest.mark.parametrize("tile", [8, 12, 16, 32, 33, 64, 72])
def test_maps_that_the_caller_keeps_hold_what_new_ones_would(isa, tile):
    stream, wanted_stream = (choose(isa).vision_stream(tile, 128.0, 25) for _ in range(2))
    shape = (-(-45 // tile), -(-70 // tile))
    entropies, motions = np.full(shape, 99, dtype=np.float32), np.full(shape, 99, dtype=np.float32)
    for seed in range(3):
        result, wanted = stream.analyze(frame(seed), entropies, motions), wanted_stream.analyze(frame(seed))
        assert result[1] is entropies
        assert result[7] is motions
        assert all(np.array_equal(value, wanted_value) for value, wanted_value in zip(result, wanted, strict=True))


GOOD = np.zeros((2, 3), dtype=np.float32)
READ_ONLY = GOOD.copy()
READ_ONLY.flags.writeable = False


@every_isa
@pytest.mark.parametrize(
    "bad",
    [READ_ONLY, GOOD.astype(np.float64), np.zeros((3, 2), np.float32), np.zeros((2, 6), np.float32)[:, ::2], [[0.0]]],
    ids=["read-only", "float64", "shape", "strided", "list"],
)
@pytest.mark.parametrize("position", [0, 1])
def test_maps_that_cannot_be_written_to_are_refused_before_the_frame_is_taken_in(isa, bad, position):
    stream = choose(isa).vision_stream(32, 128.0, 25)
    maps = [GOOD.copy(), GOOD.copy()]
    maps[position] = bad
    with pytest.raises(ValueError, match=r"(entropy|motion)_map must be a writable, contiguous float32 .*\(2, 3\)"):
        stream.analyze(frame(1), *maps)
    assert stream.analyze(frame(1))[4] is False


@every_isa
def test_one_map_alone_is_refused(isa):
    with pytest.raises(TypeError, match="entropy_map and motion_map"):
        choose(isa).vision_stream(32, 128.0, 25).analyze(frame(1), GOOD.copy())


@every_isa
@pytest.mark.parametrize("channels", [1, 3])
def test_many_frames_in_one_call_are_what_they_are_one_by_one(isa, channels):
    frames = np.stack([frame(seed, channels=channels) for seed in (1, 2, 2, 3)])
    stream, single = (choose(isa).vision_stream(16, 128.0, 25) for _ in range(2))
    for images in (frames[:3], frames[3:], frames[::2, :, 3:50]):
        together = stream.analyze_many(images)
        for i, image in enumerate(images):
            one = single.analyze(image)
            assert all(np.array_equal(many[i], value) for many, value in zip(together, one, strict=True))


@every_isa
def test_what_is_not_many_frames_is_refused(isa):
    stream = choose(isa).vision_stream(16, 128.0, 25)
    for images in (frame(1)[..., 0], np.zeros((0, 20, 30), np.uint8), np.zeros((2, 20, 30, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"\[N, H, W\]|\[H, W\]"):
            stream.analyze_many(images)
    with pytest.raises(ValueError, match="order"):
        stream.analyze_many(np.zeros((2, 20, 30), np.uint8)[:, ::-1])
