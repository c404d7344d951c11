"""Clips and sounds: frames and chunks in order, any rate and channels, damage in the middle, bounded looks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import av
import numpy as np
import pytest

from edge_agent.clock import ManualClock
from edge_agent.errors import InputError
from edge_agent.sources.clip import ClipSource, read_clip
from edge_agent.sources.media import Mono16k
from edge_agent.sources.sound import load_sound
from edge_agent.types import AudioWindow, Frame
from media import make_clip, make_wav


def items_of(source: ClipSource) -> list[Frame | AudioWindow]:
    async def collect() -> list[Frame | AudioWindow]:
        await source.open()
        try:
            return [item async for item in source]
        finally:
            await source.close()

    return asyncio.run(collect())


def test_a_clip_gives_its_frames_and_its_sound_in_order(tmp_path: Path) -> None:
    items = items_of(ClipSource(make_clip(tmp_path / "c.mp4", [50] * 10 + [150] * 10, tone_at_s=1.0)))
    frames = [i for i in items if isinstance(i, Frame)]
    chunks = [i for i in items if isinstance(i, AudioWindow)]
    assert [f.index for f in frames] == list(range(20))
    assert [f.timestamp_s for f in frames] == pytest.approx([i / 10 for i in range(20)], abs=0.02)
    assert frames[0].pixels.shape == (48, 64, 3)
    assert frames[15].pixels.mean() - frames[5].pixels.mean() > 80
    assert all(c.rate_hz == 16000 and len(c.samples) == 1600 for c in chunks[:-1])
    energy = [float(np.mean(c.samples**2)) for c in chunks]
    assert abs(int(np.argmax(energy)) - 10) <= 1
    times = [i.timestamp_s if isinstance(i, Frame) else i.start_s for i in items]
    assert times == sorted(times)


def test_real_time_waits_on_the_injected_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    items_of(ClipSource(make_clip(tmp_path / "c.mp4", [50] * 11), realtime=True, clock=clock))
    assert clock.monotonic_s() == pytest.approx(1.0, abs=0.05)


def test_a_look_at_a_clip_is_bounded_and_evenly_spaced(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "c.mp4", list(range(40, 140)), tone_at_s=1.0)
    clip = read_clip(path, max_frames=5)
    assert [f.timestamp_s for f in clip.frames] == pytest.approx([0, 2, 4, 6, 8], abs=0.15)
    assert clip.audio is not None
    assert clip.audio.duration_s == pytest.approx(10, abs=0.2)
    assert len(read_clip(path, max_frames=1).frames) == 1


def test_a_silent_clip_has_no_sound(tmp_path: Path) -> None:
    assert read_clip(make_clip(tmp_path / "c.mp4", [50] * 5)).audio is None


def test_damage_in_the_middle_keeps_what_was_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "c.avi", [50, 100, 150] * 20)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    assert 0 < len([i for i in items_of(ClipSource(path)) if isinstance(i, Frame)]) <= 60


def test_eight_channels_at_192_khz_are_more_than_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="8 channels of 192000 Hz"):
        load_sound(make_wav(tmp_path / "s.wav", np.zeros((192000, 8), np.int16), 192000))


def test_eight_channels_at_48_khz_become_mono_at_16_khz(tmp_path: Path) -> None:
    wave = (np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000) * 20000).astype(np.int16)
    sound = load_sound(make_wav(tmp_path / "s.wav", np.repeat(wave[:, None], 8, axis=1), 48000))
    assert sound.rate_hz == 16000
    assert sound.samples.dtype == np.float32
    assert sound.duration_s == pytest.approx(1.0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(sound.samples))
    assert abs(int(spectrum.argmax()) - 440) <= 2


def test_a_sound_that_changes_its_rate_half_way_is_read_on() -> None:
    mono = Mono16k()
    heard = 0
    for rate_hz, layout in ((8000, "mono"), (48000, "stereo"), (8000, "mono")):
        samples = np.zeros((1, rate_hz * (2 if layout == "stereo" else 1)), np.int16)
        block = av.AudioFrame.from_ndarray(samples, "s16", layout)
        block.sample_rate = rate_hz
        heard += len(mono.feed(block))
    heard += len(mono.end())
    assert heard == pytest.approx(3 * 16000, abs=200)


def test_a_recording_of_a_stream_begins_at_its_own_first_moment(tmp_path: Path) -> None:
    late = make_clip(tmp_path / "late.ts", list(range(40, 80)), start_s=3600)
    frames = [i for i in items_of(ClipSource(late)) if isinstance(i, Frame)]
    assert 0 <= frames[0].timestamp_s < 0.3
    assert frames[-1].timestamp_s == pytest.approx(3.9, abs=0.3)
    assert [f.timestamp_s for f in read_clip(late, 4).frames] == pytest.approx([0, 1, 2, 3], abs=0.3)


def test_a_long_sound_is_cut_at_its_limit(tmp_path: Path) -> None:
    sound = load_sound(make_wav(tmp_path / "s.wav", np.ones(16000 * 5, np.int16)), most_s=2.0)
    assert sound.duration_s == 2.0


def test_a_clip_without_sound_asked_for_its_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no sound"):
        load_sound(make_clip(tmp_path / "c.mp4", [50] * 5))


def test_a_playlist_cannot_reach_the_network(tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError):
        items_of(ClipSource(path))
