"""What a stream of sound hands out, and how it takes arrays in: small and large, odd ones, from several threads."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading

import numpy as np
import pytest

from edge_agent import _core
from edge_agent.features import FeatureExtractor, SoundFeatureStream, available_isas, sound_features
from edge_agent.features.kernels import choose
from edge_agent.types import SoundFeatures
from edge_agent.values import plain

every_isa = pytest.mark.parametrize("isa", available_isas())
every_native_isa = pytest.mark.parametrize("isa", [isa for isa in available_isas() if isa != "reference"])


def noise(count: int) -> np.ndarray:
    return (np.random.default_rng(7).standard_normal(count) * 0.1).astype(np.float32)


@every_isa
def test_later_chunks_have_the_same_fields_as_the_first(isa):
    samples = noise(1600)
    whole = sound_features(samples, 16000, isa=isa)
    stream = SoundFeatureStream(isa=isa)
    parts = [stream.feed(part, 16000) for part in np.split(samples, 10)]
    for field in dataclasses.fields(SoundFeatures):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], np.ndarray):
            assert np.array_equal(np.concatenate(values), getattr(whole, field.name))
        else:
            assert set(values) == {getattr(whole, field.name)}


@every_isa
def test_features_of_a_later_chunk_are_values_like_any_other(isa):
    def features() -> SoundFeatures:
        stream = SoundFeatureStream(isa=isa)
        stream.feed(noise(600), 16000)
        return stream.feed(noise(320), 16000)

    assert isinstance(features(), SoundFeatures)
    assert set(plain(features())) == {field.name for field in dataclasses.fields(SoundFeatures)}
    assert "flux=array" in repr(features())
    for copied in (pickle.loads(pickle.dumps(features())), copy.deepcopy(features())):
        assert np.array_equal(copied.flux, features().flux)
        assert copied.rate_hz == 16000
    assert len(dataclasses.replace(features(), flux=np.zeros(3, np.float32)).flux) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        features().flux = np.zeros(1, np.float32)
    with pytest.raises(AttributeError, match="loudness"):
        features().loudness  # noqa: B018


@every_isa
def test_another_rate_and_a_reset_start_anew(isa):
    extractor = FeatureExtractor(isa=isa)
    chunk = noise(700)
    first = extractor.sound(chunk, 16000)
    later = extractor.sound(chunk, 16000)
    assert later.flux[0] > 0 == first.flux[0]
    assert np.array_equal(extractor.sound(chunk, 8000).flux, first.flux)
    extractor.reset()
    again = extractor.sound(chunk, 8000)
    assert np.array_equal(again.flux, first.flux)
    assert again.rate_hz == 8000


@every_isa
@pytest.mark.parametrize("count", [700, 9000])
def test_arrays_that_lie_oddly_are_taken_or_refused_alike(isa, count):
    samples = noise(count)
    wanted = choose(isa).sound_stream(512, 160).feed(samples)
    read_only = samples.copy()
    read_only.flags.writeable = False
    for odd in (read_only, samples.view(np.recarray), samples.astype(np.dtype("<f4"))):
        assert np.array_equal(choose(isa).sound_stream(512, 160).feed(odd), wanted)
    for refused in (samples.astype(">f4"), samples.view(np.int32), samples.astype(np.uint16)):
        with pytest.raises(TypeError, match="float32 or int16"):
            choose(isa).sound_stream(512, 160).feed(refused)
    shifted = np.frombuffer(b"\0" + samples.tobytes(), np.uint8)[1:].view(np.float32)
    with pytest.raises(ValueError, match="aligned"):
        choose(isa).sound_stream(512, 160).feed(shifted)


@every_native_isa
def test_few_and_many_samples_a_call_give_the_same(isa):
    samples = noise(20000)
    one = choose(isa).sound_stream(64, 3)
    many = choose(isa).sound_stream(64, 3)
    parts = [one.feed(part) for part in np.split(samples, 500)]
    assert np.array_equal(np.concatenate(parts, axis=1), many.feed(samples))


@every_native_isa
def test_threads_that_share_a_stream_take_turns(isa):
    stream = choose(isa).sound_stream(512, 160)
    chunks = [noise(160), noise(100000)]
    frames = []

    def work(chunk: np.ndarray) -> None:
        frames.extend(stream.feed(chunk).shape[1] for _ in range(20))

    threads = [threading.Thread(target=work, args=(chunk,)) for chunk in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(frames) == (20 * 100160 - 512) // 160 + 1


def test_a_stream_that_was_not_made_is_refused():
    with pytest.raises(TypeError, match="__init__"):
        _core.SoundStream.__new__(_core.SoundStream).feed(noise(10))
    with pytest.raises(TypeError):
        _core.SoundStream.feed(7, noise(10))
