"""Every instruction set of this machine computes what the NumPy reference computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.features import available_isas, reference, selftest
from edge_agent.features.agreement import SOUND_TOLERANCES, sound_agreement
from edge_agent.features.kernels import choose, native_import_error

ISAS = [name for name in available_isas() if name != "reference"]
FAST_ISAS = [name for name in ISAS if name != "scalar"]


def picture(seed: int, height: int, width: int, channels: int, kind: str) -> np.ndarray:
    """A picture whose rows lie further apart than they are long, starting at an odd address."""
    rng = np.random.default_rng(seed)
    room = np.zeros(1 + height * (width * channels + 5), dtype=np.uint8)
    rows = room[1:].reshape(height, width * channels + 5)[:, : width * channels]
    if kind == "noise":
        rows[:] = rng.integers(0, 256, rows.shape)
    elif kind == "saturated":
        rows[:] = rng.integers(0, 2, rows.shape) * 255
    elif kind == "smooth":
        rows[:] = (np.add.outer(np.arange(height), np.arange(width * channels)) // 3) % 256
    else:
        rows[:] = rng.integers(0, 256)
    return rows if channels == 1 else np.lib.stride_tricks.as_strided(rows, (height, width, 3), (rows.strides[0], 3, 1))


pictures = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
    st.integers(1, 140),
    st.sampled_from(["noise", "saturated", "smooth", "constant"]),
)


def test_the_native_kernels_are_built():
    assert native_import_error() == ""
    assert "scalar" in ISAS


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(spec=pictures)
def test_grey_is_the_same_on_every_isa(isa, spec):
    seed, height, width, kind = spec
    bgr = picture(seed, height, width, 3, kind)
    assert np.array_equal(choose(isa).grey(bgr), reference.grey(bgr))
    around = np.full((height, width + 9), 7, np.uint8)
    out = around[:, 5 : 5 + width]
    assert choose(isa).grey(bgr, out) is out
    assert np.array_equal(out, reference.grey(bgr))
    assert (around[:, :5] == 7).all()
    assert (around[:, 5 + width :] == 7).all()


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(spec=pictures, tile=st.integers(8, 70), threshold=st.floats(0, 1500))
def test_image_statistics_match_the_reference(isa, spec, tile, threshold):
    seed, height, width, kind = spec
    kernels, image = choose(isa), picture(seed, height, width, 1, kind)
    assert np.array_equal(kernels.histogram(image), reference.histogram(image))
    bits, bit_map = kernels.tile_entropy(image, tile)
    wanted_bits, wanted_map = reference.tile_entropy(image, tile)
    assert bits == pytest.approx(wanted_bits, abs=1e-9)
    assert bits == kernels.entropy(image)
    assert bit_map.shape == wanted_map.shape
    assert np.allclose(bit_map, wanted_map, rtol=0, atol=1e-5)
    result, wanted = kernels.edges(image, threshold), reference.edges(image, threshold)
    assert result[:3] == wanted[:3]
    assert result[3:] == pytest.approx(wanted[3:], rel=1e-12)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(spec=pictures, tile=st.integers(8, 70), threshold=st.integers(0, 255))
def test_frame_difference_matches_the_reference(isa, spec, tile, threshold):
    seed, height, width, kind = spec
    before, after = picture(seed, height, width, 1, kind), picture(seed + 1, height, width, 1, "noise")
    result = choose(isa).difference(before, after, threshold, tile)
    wanted = reference.difference(before, after, threshold, tile)
    assert result[:4] == wanted[:4]
    assert np.array_equal(result[4], wanted[4])


@pytest.mark.parametrize("isa", FAST_ISAS)
def test_floats_of_pictures_are_bit_identical_to_scalar(isa):
    for size in ((1, 1), (33, 65), (480, 640)):
        image = picture(7, *size, 1, "noise")
        bits, bit_map = choose(isa).tile_entropy(image, 32)
        scalar_bits, scalar_map = choose("scalar").tile_entropy(image, 32)
        assert bits == scalar_bits
        assert np.array_equal(bit_map, scalar_map)
        assert choose(isa).edges(image, 128.0) == choose("scalar").edges(image, 128.0)


@pytest.mark.parametrize("isa", ISAS)
def test_a_stream_of_frames_matches_the_reference(isa):
    stream, wanted_stream = choose(isa).vision_stream(32, 128.0, 25), reference.VisionStream(32, 128.0, 25)
    for seed, (height, width, channels) in enumerate([(50, 70, 3), (50, 70, 3), (50, 70, 1), (70, 50, 3), (70, 50, 3)]):
        frame = picture(seed, height, width, channels, "noise")
        result, wanted = stream.analyze(frame), wanted_stream.analyze(frame)
        assert result[4] is wanted[4] is (seed not in (0, 3))
        for value, wanted_value in zip(result, wanted, strict=True):
            assert np.allclose(value, wanted_value, rtol=1e-9, atol=1e-5)


def sound(seed: int, count: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = np.arange(count)
    if kind == "noise":
        return (rng.standard_normal(count) * 0.2).astype(np.float32)
    if kind == "quiet":
        return (rng.standard_normal(count) * 1e-4).astype(np.float32)
    if kind == "tone":
        return (0.7 * np.sin(rng.uniform(0.01, 3.0) * n)).astype(np.float32)
    if kind == "steps":
        return rng.integers(-32768, 32768, count).astype(np.int16)
    return np.full(count, rng.uniform(-1, 1), dtype=np.float32)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    log_window=st.integers(5, 11),
    hop=st.integers(1, 700),
    frames=st.integers(0, 20),
    kind=st.sampled_from(["noise", "quiet", "tone", "steps", "constant"]),
)
def test_sound_features_match_the_reference(isa, seed, log_window, hop, frames, kind):
    window = 2**log_window
    samples = sound(seed, window + frames * hop - 1, kind)
    rows = choose(isa).sound_stream(window, hop).feed(samples)
    wanted = reference.SoundStream(window, hop).feed(samples)
    assert rows.shape == (5, frames)
    assert rows.dtype == np.float32
    assert [name for name, good in sound_agreement(rows, wanted).items() if not good] == []


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    hop=st.sampled_from([1, 50, 128, 160, 400, 3000]),
    cuts=st.lists(st.integers(0, 4000), max_size=30),
)
def test_sound_features_do_not_depend_on_the_chunks(isa, seed, hop, cuts):
    samples = sound(seed, 4000, "noise")
    whole = choose(isa).sound_stream(128, hop).feed(samples)
    stream = choose(isa).sound_stream(128, hop)
    parts = [stream.feed(part) for part in np.split(samples, sorted(cuts))]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("isa", available_isas())
def test_sound_fed_sample_by_sample_equals_sound_fed_at_once(isa):
    samples = sound(3, 3000, "tone")
    stream = choose(isa).sound_stream(512, 160)
    parts = [stream.feed(samples[i : i + 1]) for i in range(len(samples))]
    whole = choose(isa).sound_stream(512, 160).feed(samples)
    assert whole.shape == (5, 16)
    assert all(sound_agreement(np.concatenate(parts, axis=1), whole).values())


def test_selftest_is_content_with_every_isa(monkeypatch):
    for isa in available_isas():
        monkeypatch.setenv("EDGE_AGENT_ISA", isa)
        assert selftest() == []


def test_selftest_names_the_feature_that_is_wrong(monkeypatch):
    monkeypatch.setattr(reference, "edges", lambda image, threshold: (0, 0, 0, 0.0, 0.0))
    (line,) = selftest()
    assert "edges" in line


def test_sound_agreement_tells_rows_apart():
    wanted = reference.SoundStream().feed(sound(1, 2000, "noise"))
    for row, name in enumerate(SOUND_TOLERANCES):
        rows = wanted.copy()
        rows[row, 3] += 0.01
        assert [wrong for wrong, good in sound_agreement(rows, wanted).items() if not good] == [name]
    assert sound_agreement(wanted[:, 1:], wanted) == {"number of sound frames": False}
