"""Video files with their sound: frames and chunks of sound in order, paced in real time or as fast as they decode."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.clock import Clock, SystemClock
from edge_agent.errors import InputError
from edge_agent.sources.base import SOUND_RATE_HZ, Item, check_size
from edge_agent.sources.media import Mono16k, check_sound, decoded, opened, start_s
from edge_agent.sources.sound import load_sound
from edge_agent.types import F32, U8, AudioWindow, Frame

CHUNK_S = 0.1
LONG_SIDE = 1920  # larger frames are scaled down while they are converted
LOOK_S = 600.0  # `read_clip` looks at so much of a file
SOUND_S = 60.0
KEY_FRAMES_ABOVE_S = 30.0
HELD_ITEMS = 12  # kept back to put picture and sound in order; beyond it they leave as they come


@dataclass(frozen=True, slots=True)
class Clip:
    """Some frames of a file, evenly spaced, and the beginning of its sound if it has any."""

    frames: tuple[Frame, ...]
    audio: AudioWindow | None


def read_clip(path: Path, max_frames: int = 8) -> Clip:
    """At most `max_frames` (>= 1) frames, evenly spaced over the file's first ten minutes, and a minute of its sound.

    Raises InputError for a file that is missing, empty, no video, or without a frame.
    """
    with opened(path, "clip") as container:
        stream = _video(container, path)
        length_s = min(LOOK_S, (container.duration or 0) / 1e6)
        if length_s > KEY_FRAMES_ABOVE_S:
            stream.codec_context.skip_frame = "NONKEY"  # decoding all of ten minutes would take longer than waiting
        step_s = length_s / max_frames
        frames: list[Frame] = []
        for picture in decoded(container, path, "clip", stream):
            at_s = _time(picture, start_s(container))
            if at_s >= len(frames) * step_s:
                frames.append(Frame(_pixels(picture), at_s, len(frames)))
            if len(frames) >= max_frames:
                break
        has_sound = bool(container.streams.audio)
    if not frames:
        raise InputError(f"{path} has no frames", "name a clip with pictures in it")
    return Clip(tuple(frames), load_sound(path, SOUND_S) if has_sound else None)


class ClipSource:
    """A video file as a stream of frames and of sound in chunks of 0.1 s, in the order of their times."""

    def __init__(self, path: Path, *, realtime: bool = False, clock: Clock | None = None) -> None:
        self._path = path
        self._realtime = realtime
        self._clock = clock or SystemClock()
        self._items: Iterator[Item] | None = None

    def describe(self) -> str:
        return f"clip {self._path}"

    async def open(self) -> None:
        """Check that the file has frames; decoding starts with the iteration. Raises InputError."""
        await asyncio.to_thread(self._check)
        self._items = _decode(self._path)

    async def close(self) -> None:
        self._items = None

    async def __aiter__(self) -> AsyncIterator[Item]:
        """The items; each is decoded in a worker thread when it is asked for. Raises InputError."""
        if self._items is None:
            await self.open()
        items, started_s = self._items, self._clock.monotonic_s()
        while items is not None and (item := await asyncio.to_thread(next, items, None)) is not None:
            if self._realtime:
                due_s = item.timestamp_s if isinstance(item, Frame) else item.start_s + item.duration_s
                await self._clock.sleep(max(0.0, started_s + due_s - self._clock.monotonic_s()))
            yield item

    def _check(self) -> None:
        with opened(self._path, "clip") as container:
            _video(container, self._path)


def _video(container: Any, path: Path) -> Any:
    """The first video stream, its size checked."""
    if not container.streams.video:
        raise InputError(f"{path} has no video in it", "name a clip with pictures, or use --audio for sound")
    stream = container.streams.video[0]
    check_size(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def _decode(path: Path) -> Iterator[Item]:
    """Frames and chunks of sound in the order of their times; raises InputError if there is no frame at all."""
    with opened(path, "clip") as container:
        video = _video(container, path)
        sound = container.streams.audio[0] if container.streams.audio else None
        if sound is None:
            pictures = decoded(container, path, "clip", video)
            count = yield from _frames(pictures, start_s(container))
        else:
            check_sound(path, sound)
            parts = decoded(container, path, "clip", video, sound)
            count = yield from _in_order(parts, start_s(container))
    if count == 0:
        raise InputError(f"{path} has no frames", "name a clip with pictures in it")


def _frames(pictures: Iterator[Any], origin_s: float) -> Generator[Item, None, int]:
    index = 0
    for picture in pictures:
        yield Frame(_pixels(picture), _time(picture, origin_s), index)
        index += 1
    return index


def _in_order(parts: Iterator[Any], origin_s: float) -> Generator[Item, None, int]:
    """Decoded pictures and sound, interleaved as the file likes, as items by time; the number of pictures."""
    held: list[tuple[float, int, Item]] = []
    chunks, index, number = _Chunks(origin_s), 0, itertools.count()
    for part in parts:
        if hasattr(part, "samples"):
            for chunk in chunks.feed(part):
                heapq.heappush(held, (chunk.start_s, next(number), chunk))
        else:
            frame = Frame(_pixels(part), _time(part, origin_s), index)
            heapq.heappush(held, (frame.timestamp_s, next(number), frame))
            index += 1
        while len(held) > HELD_ITEMS:
            yield heapq.heappop(held)[2]
    for chunk in chunks.end():
        heapq.heappush(held, (chunk.start_s, next(number), chunk))
    while held:
        yield heapq.heappop(held)[2]
    return index


class _Chunks:
    """Cuts decoded sound into windows of CHUNK_S."""

    def __init__(self, origin_s: float) -> None:
        self._origin_s = origin_s
        self._mono = Mono16k()
        self._rest: F32 = np.zeros(0, np.float32)
        self._at_s: float | None = None

    def feed(self, frame: Any) -> Iterator[AudioWindow]:
        if self._at_s is None:
            self._at_s = _time(frame, self._origin_s)
        yield from self._cut(self._mono.feed(frame))

    def end(self) -> Iterator[AudioWindow]:
        if self._at_s is not None:
            yield from self._cut(self._mono.end())
            if len(self._rest):
                yield AudioWindow(self._rest, SOUND_RATE_HZ, self._at_s)

    def _cut(self, samples: F32) -> Iterator[AudioWindow]:
        size = int(CHUNK_S * SOUND_RATE_HZ)
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= size:
            chunk, self._rest = self._rest[:size].copy(), self._rest[size:]
            yield AudioWindow(chunk, SOUND_RATE_HZ, self._at_s or 0.0)
            self._at_s = (self._at_s or 0.0) + CHUNK_S


def _time(frame: Any, origin_s: float) -> float:
    """Seconds from the start of the file, whose own time begins at `origin_s`; 0 where the file does not say."""
    return max(0.0, float(frame.time) - origin_s) if frame.time is not None else 0.0


def _pixels(picture: Any) -> U8:
    """[H, W, 3] uint8 BGR, upright, the long side at most LONG_SIDE."""
    check_size("a frame of the clip", picture.width, picture.height)
    by = min(1.0, LONG_SIDE / max(picture.width, picture.height))
    width, height = max(1, round(picture.width * by)), max(1, round(picture.height * by))
    pixels: U8 = picture.reformat(width=width, height=height, format="bgr24").to_ndarray()
    turns = round(getattr(picture, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
