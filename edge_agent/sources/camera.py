"""Cameras through OpenCV: an index, a device path or a URL. A read that hangs never blocks the agent."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from edge_agent.clock import Clock, SystemClock
from edge_agent.errors import InputError
from edge_agent.sources.base import Item, check_size, redacted
from edge_agent.types import Frame

OPEN_TIMEOUT_S = 15.0
FRAME_TIMEOUT_S = 10.0
WARM_UP_FRAMES = 5  # a camera needs some frames to find its exposure

Opener = Callable[[str], Any]


def open_capture(uri: str) -> Any:
    """A cv2.VideoCapture of an index ("0"), a device path or a URL; its own error messages are silenced."""
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said in one line, by us
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(int(uri) if uri.isascii() and uri.isdigit() else uri)


class CameraSource:
    """The newest frame of a camera. Frames that nobody took in time are dropped and counted in `dropped`.

    Capture runs in a daemon thread of its own; one that hangs inside the driver is abandoned, not waited for.
    """

    def __init__(self, uri: str, *, clock: Clock | None = None, opener: Opener = open_capture) -> None:
        self._uri = uri
        self._name = redacted(uri)
        self._clock = clock or SystemClock()
        self._opener = opener
        self._stop = threading.Event()
        self._newest: asyncio.Queue[Frame | InputError] | None = None
        self._first: Frame | None = None
        self.dropped = 0

    def describe(self) -> str:
        return f"camera {self._name}"

    async def open(self) -> None:
        """Start capturing and wait for the first frame. Raises InputError if none comes."""
        self._stop = threading.Event()
        self._newest = asyncio.Queue(maxsize=2)  # one frame, and the error that ends it all
        arguments = (asyncio.get_running_loop(), self._newest, self._stop)
        threading.Thread(target=self._capture, args=arguments, name="camera", daemon=True).start()
        self._first = await self._next(OPEN_TIMEOUT_S)

    async def close(self) -> None:
        self._stop.set()

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Frames until the camera is lost, which raises InputError."""
        first, self._first = self._first, None
        if first is not None:
            yield first
        while not self._stop.is_set():
            yield await self._next(FRAME_TIMEOUT_S)

    async def _next(self, timeout_s: float) -> Frame:
        if self._newest is None:
            raise InputError(f"camera {self._name} is not open", "open it first")
        try:
            item = await asyncio.wait_for(self._newest.get(), timeout_s)
        except asyncio.TimeoutError as error:
            self._stop.set()
            raise InputError(
                f"camera {self._name} gave no frame for {timeout_s:g} s", "check its cable or address"
            ) from error
        if isinstance(item, InputError):
            raise item
        return item

    def _capture(
        self, loop: asyncio.AbstractEventLoop, newest: asyncio.Queue[Frame | InputError], stop: threading.Event
    ) -> None:
        """The thread: open, read, hand over, until stopped or lost."""

        def hand_over(item: Frame | InputError) -> None:
            if isinstance(item, Frame) and not newest.empty():
                newest.get_nowait()
                self.dropped += 1
            newest.put_nowait(item)

        def put(item: Frame | InputError) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(hand_over, item)

        capture: Any = None
        try:
            capture = self._opener(self._uri)
            if not capture.isOpened():
                put(InputError(f"camera {self._name} cannot be opened", "run `edge-agent doctor` to see the cameras"))
                return
            index = 0
            while not stop.is_set():
                there, pixels = capture.read()
                if stop.is_set():
                    return
                if not there or pixels is None:
                    put(InputError(f"camera {self._name} was lost", "check its cable or address"))
                    return
                check_size(f"camera {self._name}", pixels.shape[1], pixels.shape[0])
                put(Frame(np.asarray(pixels, dtype=np.uint8), self._clock.monotonic_s(), index))
                index += 1
        except InputError as error:
            put(error)
        except Exception as error:  # noqa: BLE001 - the border of this thread: what a driver throws is a lost camera
            put(InputError(f"camera {self._name} failed: {error}", "check its cable or address"))
        finally:
            if capture is not None:
                capture.release()


async def take_frame(uri: str, opener: Opener = open_capture) -> Frame:
    """One well exposed frame of a camera. Raises InputError."""
    camera = CameraSource(uri, opener=opener)
    await camera.open()
    try:
        frame = None
        async for item in camera:
            if isinstance(item, Frame):
                frame = item
                if item.index + 1 >= WARM_UP_FRAMES:
                    break
    except InputError:
        if frame is None:
            raise
    finally:
        await camera.close()
    if frame is None:
        raise InputError(f"camera {redacted(uri)} gave no frame", "run `edge-agent doctor` to see the cameras")
    return frame
