"""The features mean what they say: known inputs have known values, and events show."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.features import (
    FeatureExtractor,
    SoundFeatureStream,
    available_isas,
    image_features,
    motion_features,
    sound_features,
)
from edge_agent.types import AudioWindow, Frame, Observation

RATE_HZ = 16000
pytestmark = pytest.mark.parametrize("isa", available_isas())


def noise(count: int, amplitude: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(5).standard_normal(count) * amplitude).astype(np.float32)


def tone(count: int, hz: float, amplitude: float = 0.8) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz / RATE_HZ * np.arange(count))).astype(np.float32)


def test_a_constant_picture_has_no_entropy_no_edges_and_no_variance(isa):
    features = image_features(np.full((100, 70, 3), 93, dtype=np.uint8), isa=isa)
    assert (features.width, features.height) == (70, 100)
    assert features.entropy_bits == 0
    assert features.tile_entropy_bits.shape == (4, 3)
    assert not features.tile_entropy_bits.any()
    assert features.edge_density == 0
    assert features.laplacian_variance == 0


def test_two_levels_are_one_bit_and_their_border_is_an_edge(isa):
    picture = np.zeros((64, 64), dtype=np.uint8)
    picture[:, 32:] = 255
    features = image_features(picture, isa=isa)
    assert features.entropy_bits == pytest.approx(1.0, abs=1e-12)
    assert not features.tile_entropy_bits.any()
    assert features.edge_density == pytest.approx(2 / 62)
    assert features.laplacian_variance == pytest.approx(2 * 255**2 / 62)


def test_an_edge_is_a_step_above_the_threshold(isa):
    picture = np.zeros((8, 8), dtype=np.uint8)
    picture[:, 4:] = 32  # Sobel magnitude 4 * 32 = 128
    assert image_features(picture, isa=isa).edge_density == 0
    picture[:, 4:] = 33
    assert image_features(picture, isa=isa).edge_density == pytest.approx(2 / 6)


def test_all_levels_in_equal_parts_are_eight_bits(isa):
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(48, 16)
    assert image_features(picture, isa=isa).entropy_bits == pytest.approx(8.0, abs=1e-12)


def test_tiles_at_the_border_count_only_their_own_pixels(isa):
    picture = np.zeros((40, 40), dtype=np.uint8)
    picture[32:, 32:] = np.repeat([[0, 255]], 4, axis=1)
    tiles = image_features(picture, isa=isa).tile_entropy_bits
    assert tiles[1, 1] == pytest.approx(1.0)
    assert tiles.sum() == pytest.approx(1.0)


def test_a_1x1_picture_is_fine(isa):
    features = image_features(np.array([[[1, 2, 3]]], dtype=np.uint8), isa=isa)
    assert (features.entropy_bits, features.edge_density, features.laplacian_variance) == (0, 0, 0)
    assert features.tile_entropy_bits.shape == (1, 1)


def test_grey_weighs_green_most(isa):
    greys = [image_features_of_pure(channel, isa) for channel in range(3)]
    assert greys == [29, 149, 77]


def image_features_of_pure(channel: int, isa: str) -> int:
    from edge_agent.features.image import grey

    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    picture[..., channel] = 255
    return int(grey(picture, isa=isa)[0, 0])


def test_motion_is_where_the_picture_changed(isa):
    before = np.zeros((64, 96), dtype=np.uint8)
    after = before.copy()
    after[:32, 64:] = 100
    motion = motion_features(before, after, isa=isa)
    assert motion.valid
    assert motion.mean_abs_diff == pytest.approx(100 / 6)
    assert motion.changed_share == pytest.approx(1 / 6)
    assert motion.tile_mean_abs_diff.tolist() == [[0, 0, 100], [0, 0, 0]]


def test_a_change_up_to_the_threshold_does_not_count_as_changed(isa):
    before = np.zeros((16, 16), dtype=np.uint8)
    assert motion_features(before, before + np.uint8(25), isa=isa).changed_share == 0
    assert motion_features(before, before + np.uint8(26), isa=isa).changed_share == 1


def test_the_first_frame_and_a_new_size_have_no_valid_motion(isa):
    extractor = FeatureExtractor(isa=isa)
    wide, tall = np.full((40, 80, 3), 9, np.uint8), np.full((80, 40, 3), 200, np.uint8)
    valid = [extractor.vision(frame)[1].valid for frame in (wide, wide, tall, tall, wide)]
    assert valid == [False, True, False, True, False]
    extractor.reset()
    motion = extractor.vision(wide)[1]
    assert not motion.valid
    assert (motion.mean_abs_diff, motion.changed_share) == (0, 0)
    assert not motion.tile_mean_abs_diff.any()
    assert not motion_features(wide, tall, isa=isa).valid


def test_the_stream_owns_the_last_frame(isa):
    extractor = FeatureExtractor(isa=isa)
    frame = np.zeros((20, 20), dtype=np.uint8)
    extractor.vision(frame)
    frame[:] = 255  # as a camera does that reuses its buffer
    assert extractor.vision(frame)[1].mean_abs_diff == 255


def test_a_row_strided_view_is_as_good_as_its_copy(isa):
    whole = np.random.default_rng(2).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    view = whole[10:70, 5:106]
    a, b = image_features(view, isa=isa), image_features(view.copy(), isa=isa)
    assert (a.entropy_bits, a.edge_density, a.laplacian_variance) == (
        b.entropy_bits,
        b.edge_density,
        b.laplacian_variance,
    )
    assert np.array_equal(a.tile_entropy_bits, b.tile_entropy_bits)


def test_a_tone_is_ordered_and_noise_is_not(isa):
    pure, random = sound_features(tone(8000, 1000), RATE_HZ, isa=isa), sound_features(noise(8000), RATE_HZ, isa=isa)
    assert pure.spectral_entropy.max() < 0.25
    assert pure.flatness.max() < 0.001
    assert random.spectral_entropy.min() > 0.85
    assert random.flatness.min() > 0.3


def test_a_sine_has_its_energy_and_its_zero_crossings(isa):
    features = sound_features(tone(4000, 500, amplitude=0.5), RATE_HZ, isa=isa)
    assert features.energy == pytest.approx(0.5**2 / 2 * 0.375, rel=0.01)  # 0.375: mean square of the Hann window
    assert features.zero_crossing_rate == pytest.approx(2 * 500 / RATE_HZ, abs=1.5 / 511)


def test_silence_is_zero_in_every_feature(isa):
    features = sound_features(np.zeros(2000, np.float32), RATE_HZ, isa=isa)
    rows = (features.flux, features.spectral_entropy, features.flatness, features.energy, features.zero_crossing_rate)
    assert all(len(row) == 10 and not row.any() for row in rows)


def test_a_click_is_a_peak_of_flux(isa):
    samples = noise(16000, 0.001)
    samples[8000:8016] = 0.9
    flux = sound_features(samples, RATE_HZ, isa=isa).flux
    peak = int(flux.argmax())
    assert peak * 160 <= 8016
    assert peak * 160 + 512 > 8000
    assert flux[peak] > 20 * np.median(flux)


def test_a_steady_tone_has_no_flux_and_its_onset_has(isa):
    samples = np.concatenate([np.zeros(4000, np.float32), tone(8000, 1000)])
    flux = sound_features(samples, RATE_HZ, hop=160, isa=isa).flux
    assert flux[0] == 0
    assert flux[:21].max() == 0
    assert flux[22:26].max() > 0.3
    assert flux[30:].max() < 0.01


def test_int16_is_float_divided_by_32768(isa):
    integers = (noise(3000) * 10000).astype(np.int16)
    a = sound_features(integers, RATE_HZ, isa=isa)
    b = sound_features((integers / 32768).astype(np.float32), RATE_HZ, isa=isa)
    assert np.array_equal(a.flux, b.flux)
    assert np.array_equal(a.energy, b.energy)


def test_another_rate_starts_a_new_stream(isa):
    stream = SoundFeatureStream(isa=isa)
    stream.feed(noise(500), 16000)
    assert len(stream.feed(noise(500), 8000).flux) == 0
    resumed = stream.feed(noise(12), 8000)
    assert len(resumed.flux) == 1
    assert resumed.rate_hz == 8000


def test_too_little_sound_gives_no_frames(isa):
    features = sound_features(np.zeros(0, np.float32), RATE_HZ, isa=isa)
    assert features.flux.shape == features.energy.shape == (0,)
    assert len(sound_features(noise(511), RATE_HZ, isa=isa).flux) == 0
    assert len(sound_features(noise(512), RATE_HZ, isa=isa).flux) == 1


def test_an_observation_is_described_without_touching_the_streams(isa):
    extractor = FeatureExtractor(isa=isa)
    dark, bright = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 80, np.uint8)
    extractor.vision(dark)
    frames = tuple(Frame(pixels, float(i), i) for i, pixels in enumerate((dark, bright, bright[:20])))
    features = extractor.observe(Observation("what?", frames, AudioWindow(noise(1000), RATE_HZ)))
    assert features.question == "what?"
    assert features.image is not None
    assert (features.image.width, features.image.height) == (40, 20)
    assert [motion.valid for motion in features.motion] == [True, False]
    assert features.motion[0].mean_abs_diff == 80
    assert features.sound is not None
    assert len(features.sound.flux) == 4
    assert extractor.vision(dark)[1].mean_abs_diff == 0


def test_an_observation_of_nothing_has_no_features(isa):
    features = FeatureExtractor(isa=isa).observe(Observation("why?"))
    assert (features.image, features.motion, features.sound) == (None, (), None)


def test_the_picture_that_is_described_is_the_key_frame(isa):
    frames = tuple(Frame(np.zeros((8 * side, 40, 3), np.uint8), float(side), side) for side in (1, 2, 3))
    features = FeatureExtractor(isa=isa).observe(Observation("what?", frames, key_frame=1))
    assert features.image is not None
    assert features.image.height == 16
