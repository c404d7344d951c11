"""Microphones through sounddevice (PortAudio), an extra: `pip install 'edge-agent[mic]'`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from edge_agent.clock import Clock, SystemClock, within
from edge_agent.errors import InputError
from edge_agent.sources.base import SOUND_RATE_HZ, Item, clean_samples
from edge_agent.types import F32, AudioWindow

CHUNK_S = 0.1
QUEUE_CHUNKS = 50  # five seconds; older sound is dropped and counted
CHUNK_TIMEOUT_S = 5.0
CLOSE_S = 2.0


def sounddevice() -> Any:
    """The sounddevice module. Raises InputError with the exact lines that install what is missing."""
    try:
        import sounddevice as module
    except ImportError as error:
        raise InputError("the microphone needs sounddevice", "pip install 'edge-agent[mic]'") from error
    except OSError as error:  # PortAudio's library is not there
        raise InputError("the microphone needs PortAudio", "sudo apt install libportaudio2") from error
    return module


class MicrophoneSource:
    """A microphone as chunks of 0.1 s, mono float32 at 16 kHz. `device` is "default" or part of a device's name."""

    def __init__(self, device: str = "default", module: Any = None, clock: Clock | None = None) -> None:
        self._device = device
        self._module = module
        self._clock = clock or SystemClock()
        self._stream: Any = None
        self._chunks: asyncio.Queue[AudioWindow] = asyncio.Queue(maxsize=QUEUE_CHUNKS)
        self.dropped = 0

    def describe(self) -> str:
        return f"microphone {self._device}"

    async def open(self) -> None:
        """Start recording. Raises InputError if there is no such microphone."""
        module = self._module or sounddevice()
        loop = asyncio.get_running_loop()

        def heard(block: Any, frames: int, time: Any, status: Any) -> None:
            samples = clean_samples(np.array(block[:, 0], dtype=np.float32))  # a copy: PortAudio takes its buffer back
            began_s = self._clock.monotonic_s() - len(samples) / SOUND_RATE_HZ
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._put, AudioWindow(samples, SOUND_RATE_HZ, began_s))

        def start() -> Any:
            _look_again(module)
            stream = module.InputStream(
                samplerate=SOUND_RATE_HZ,
                blocksize=int(SOUND_RATE_HZ * CHUNK_S),
                channels=1,
                dtype="float32",
                device=None if self._device == "default" else self._device,
                callback=heard,
            )
            stream.start()
            return stream

        try:
            self._stream = await asyncio.to_thread(start)
        except (module.PortAudioError, ValueError) as error:
            words = f"microphone {self._device} cannot be opened: {error}"
            raise InputError(words, "run `edge-agent doctor` to see the microphones") from error

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        # A driver whose microphone was pulled out may hang here: then its thread is left behind, nobody waits.
        closing = threading.Thread(target=stream.close, name="microphone", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Chunks until closed; a microphone that falls silent on the wire raises InputError."""
        while self._stream is not None:
            try:
                chunk = await within(self._chunks.get(), CHUNK_TIMEOUT_S)
            except asyncio.TimeoutError as error:
                raise InputError(f"microphone {self._device} was lost", "check its cable") from error
            yield chunk

    def _put(self, chunk: AudioWindow) -> None:
        if self._chunks.full():
            self._chunks.get_nowait()
            self.dropped += 1
        self._chunks.put_nowait(chunk)


def _look_again(module: Any) -> None:
    """PortAudio lists the devices once: one that was plugged in again, by its old name, is found only by a new list."""
    end, begin = getattr(module, "_terminate", None), getattr(module, "_initialize", None)
    if end is not None and begin is not None:
        end()
        begin()


async def record(seconds: float, device: str = "default", module: Any = None) -> AudioWindow:
    """So many seconds of a microphone, from now. Raises InputError."""
    microphone = MicrophoneSource(device, module)
    await microphone.open()
    parts: list[F32] = []
    try:
        async for item in microphone:
            if isinstance(item, AudioWindow):
                parts.append(item.samples)
            if sum(map(len, parts)) >= seconds * SOUND_RATE_HZ:
                break
    finally:
        await microphone.close()
    return AudioWindow(np.concatenate(parts), SOUND_RATE_HZ)
