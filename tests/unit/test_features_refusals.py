"""Wrong use of the features raises a named, clear exception, changes nothing, and never crashes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import edge_agent
from edge_agent.features import FeatureExtractor, available_isas, image_features, motion_features, sound_features
from edge_agent.features.kernels import choose

PIXELS = np.zeros((20, 30, 3), dtype=np.uint8)
GREY = np.zeros((20, 30), dtype=np.uint8)
SAMPLES = np.zeros(1000, dtype=np.float32)
every_isa = pytest.mark.parametrize("isa", available_isas())


@every_isa
@pytest.mark.parametrize("pixels", [PIXELS.astype(np.float32), PIXELS.astype(np.int8), PIXELS > 0])
def test_pixels_that_are_not_uint8_are_refused(isa, pixels):
    with pytest.raises(TypeError, match="uint8"):
        image_features(pixels, isa=isa)


@every_isa
@pytest.mark.parametrize("pixels", [[[1, 2], [3, 4]], None, "picture", 7])
def test_what_is_no_array_is_refused(isa, pixels):
    with pytest.raises(TypeError, match="image must be a NumPy array"):
        choose(isa).vision_stream(32, 128.0, 25).analyze(pixels)


@every_isa
@pytest.mark.parametrize("shape", [(20,), (20, 30, 4), (20, 30, 1), (2, 20, 30, 3), (), (0, 30), (20, 0, 3)])
def test_shapes_that_are_no_picture_are_refused(isa, shape):
    with pytest.raises(ValueError, match="shape"):
        image_features(np.zeros(shape, dtype=np.uint8), isa=isa)


@every_isa
@pytest.mark.parametrize(
    "pixels",
    [GREY[::-1], GREY[:, ::-1], PIXELS[:, ::-1], PIXELS[..., ::-1], GREY[:, ::2], PIXELS[:, ::2], GREY.T],
)
def test_strides_that_would_need_a_copy_are_refused(isa, pixels):
    with pytest.raises(ValueError, match="ascontiguousarray"):
        image_features(pixels, isa=isa)


@every_isa
def test_rows_that_share_memory_are_refused(isa):
    repeated = np.lib.stride_tricks.as_strided(GREY, (20, 30), (0, 1))
    with pytest.raises(ValueError, match="ascontiguousarray"):
        image_features(repeated, isa=isa)


@every_isa
def test_a_picture_that_is_too_large_is_refused_before_memory_is_taken(isa):
    endless = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (60000, 60000), (60000, 1))
    with pytest.raises(ValueError, match="larger than"):
        image_features(endless, isa=isa)
    with pytest.raises(ValueError, match="larger than"):
        image_features(np.zeros((1, 65536), np.uint8), isa=isa)


@every_isa
def test_grey_and_colour_are_not_mixed_up(isa):
    with pytest.raises(ValueError, match="BGR"):
        choose(isa).grey(GREY)
    with pytest.raises(ValueError, match="grey"):
        choose(isa).edges(PIXELS, 128.0)
    with pytest.raises(ValueError, match="shape of previous"):
        choose(isa).difference(GREY, GREY[:10], 25, 32)


@every_isa
def test_grey_refuses_a_place_that_it_cannot_write_to(isa):
    locked = np.zeros(PIXELS.shape[:2], np.uint8)
    locked.flags.writeable = False
    for out, reason in ((locked, "read-only"), (GREY[:10].copy(), "of the image"), (PIXELS[..., 0], "ascontiguous")):
        with pytest.raises(ValueError, match=reason):
            choose(isa).grey(PIXELS, out)
    with pytest.raises(TypeError, match="out must be"):
        choose(isa).grey(PIXELS, np.zeros(PIXELS.shape[:2], np.float32))
    memory = np.zeros(PIXELS.nbytes + GREY.nbytes, np.uint8)
    image = memory[: PIXELS.nbytes].reshape(PIXELS.shape)
    inside = memory[PIXELS.nbytes - 1 :][: GREY.nbytes].reshape(GREY.shape)
    with pytest.raises(ValueError, match="shares memory"):
        choose(isa).grey(image, inside)


@every_isa
@pytest.mark.parametrize(
    "settings",
    [
        {"tile": 7},
        {"tile": 1025},
        {"tile": -32},
        {"edge_threshold": -1.0},
        {"edge_threshold": float("nan")},
        {"edge_threshold": float("inf")},
        {"change_threshold": -1},
        {"change_threshold": 256},
        {"window": 500},
        {"window": 16},
        {"window": 16384},
        {"window": 0},
        {"window": -512},
        {"hop": 0},
        {"hop": -1},
        {"hop": 2**20 + 1},
    ],
)
def test_settings_out_of_range_are_refused_by_name(isa, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        FeatureExtractor(isa=isa, **settings)


@every_isa
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**20 * 1.01])
def test_a_sample_that_is_no_sound_is_refused_and_nothing_taken_in(isa, value):
    extractor, untouched = FeatureExtractor(isa=isa), FeatureExtractor(isa=isa)
    chunk = np.linspace(-1, 1, 700, dtype=np.float32)
    for stream in (extractor, untouched):
        stream.sound(chunk, 16000)
    bad = chunk.copy()
    bad[600] = value
    for rate_hz in (16000, 8000):
        with pytest.raises(ValueError, match="finite"):
            extractor.sound(bad, rate_hz)
    assert np.array_equal(extractor.sound(chunk, 16000).flux, untouched.sound(chunk, 16000).flux)


@every_isa
def test_sound_of_another_type_shape_or_rate_is_refused(isa):
    for samples in (SAMPLES.astype(np.float64), SAMPLES.astype(np.int32), SAMPLES.astype(">f4"), SAMPLES.astype(">i2")):
        with pytest.raises(TypeError, match="float32 or int16"):
            sound_features(samples, 16000, isa=isa)
    with pytest.raises(TypeError, match="samples must be a NumPy array"):
        sound_features([0.0] * 1000, 16000, isa=isa)  # type: ignore[arg-type]
    for samples in (SAMPLES.reshape(2, 500), np.zeros((), np.float32)):
        with pytest.raises(ValueError, match="mono"):
            sound_features(samples, 16000, isa=isa)
    for samples in (SAMPLES[::2], SAMPLES[::-1]):
        with pytest.raises(ValueError, match="contiguous"):
            sound_features(samples, 16000, isa=isa)
    with pytest.raises(ValueError, match="rate_hz"):
        sound_features(SAMPLES, 0, isa=isa)


@every_isa
def test_read_only_arrays_are_read(isa):
    pixels, samples = PIXELS.copy(), SAMPLES.copy()
    pixels.flags.writeable = samples.flags.writeable = False
    assert image_features(pixels, isa=isa).entropy_bits == 0
    assert motion_features(pixels, pixels, isa=isa).valid
    assert len(sound_features(samples, 16000, isa=isa).flux) == 4


def test_an_unknown_isa_is_refused_and_the_known_ones_named():
    with pytest.raises(ValueError, match=r"'mmx'.*scalar"):
        FeatureExtractor(isa="mmx")


def test_one_stream_may_be_used_from_several_threads():
    extractor = FeatureExtractor()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (60 + 20 * i, 80, 3), dtype=np.uint8) for i in range(3)]
    lengths: list[int] = []

    def work(frame: np.ndarray) -> None:
        for _ in range(50):
            image, _ = extractor.vision(frame)
            assert image.height == frame.shape[0]
            lengths.append(len(extractor.sound(SAMPLES, 16000).flux))

    threads = [threading.Thread(target=work, args=(frame,)) for frame in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lengths) == (150 * 1000 - 512) // 160 + 1


def run_with_isa(value: str) -> subprocess.CompletedProcess[str]:
    code = "from edge_agent.features import FeatureExtractor, isa; print(isa(), FeatureExtractor().isa)"
    root = str(Path(edge_agent.__file__).parents[1])
    environment = {**os.environ, "EDGE_AGENT_ISA": value, "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@every_isa
def test_the_environment_chooses_the_isa(isa):
    assert run_with_isa(isa).stdout.split() == [isa, isa]


def test_an_empty_choice_takes_the_fastest_isa():
    assert run_with_isa("").stdout.split() == [available_isas()[-1]] * 2


def test_an_unknown_choice_in_the_environment_is_an_exception_that_names_the_known_ones():
    result = run_with_isa("sse9")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: EDGE_AGENT_ISA: no kernels for the instruction set 'sse9'")
    assert ", ".join(available_isas()) in last


def test_the_native_module_refuses_an_unknown_choice_too():
    code = "from edge_agent import _core; print(_core.available_isas()); _core.active_isa()"
    root = str(Path(edge_agent.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "EDGE_AGENT_ISA": "sse9", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "scalar" in result.stdout
    assert "ValueError: EDGE_AGENT_ISA" in result.stderr


def test_without_the_native_module_the_reference_computes_and_the_selftest_says_so():
    code = (
        "import sys; sys.modules['edge_agent._core'] = None\n"
        "from edge_agent.features import available_isas, cpu_features, isa, selftest\n"
        "print(available_isas(), cpu_features(), isa(), selftest())"
    )
    root = str(Path(edge_agent.__file__).parents[1])
    environment = {**os.environ, "EDGE_AGENT_ISA": "", "PYTHONPATH": root}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.startswith("('reference',) () reference ['the native kernels cannot be imported: ")


def test_the_public_names_exist_and_are_all_there_is():
    from edge_agent import features

    public = {name for name in vars(features) if not name.startswith("_") and name != "annotations"}
    submodules = {name for name in public if f"edge_agent.features.{name}" in sys.modules}
    assert public - submodules == set(features.__all__)
