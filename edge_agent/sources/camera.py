"""Cameras: by OpenCV, rpicam-vid or GStreamer, each in a child process. A read that hangs never blocks the agent."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator, Callable

from edge_agent.clock import Clock, SystemClock, within
from edge_agent.errors import InputError
from edge_agent.sources.base import Item, redacted
from edge_agent.sources.child import Command, FrameChild, Picture
from edge_agent.sources.photo import decode_photo
from edge_agent.types import Frame

OPEN_TIMEOUT_S = 20.0
FRAME_TIMEOUT_S = 10.0
WARM_UP_FRAMES = 5  # a camera needs some frames to find its exposure
SIZE = (1280, 720, 15)  # width, height, frames a second of a camera that has to be told
MAX_URI_CHARS = 4096

CommandOf = Callable[[str], Command]


def command_of(uri: str) -> Command:
    """What reads a camera: `rpicam:N` a Raspberry Pi's, `csi:N` a Jetson's, `gst:PIPELINE` whatever GStreamer reads,
    each with `@WIDTHxHEIGHT` or `@WIDTHxHEIGHT@FPS` behind if wanted (not `gst:`); anything else OpenCV: an index, a
    device path (those in /dev/v4l/by-id stay the same), an address of rtsp:// or http://, a file. Raises InputError.
    """
    if "\n" in uri or "\0" in uri or len(uri) > MAX_URI_CHARS:
        raise InputError(f"no camera can be called {uri[:80]!r}", "name an index, a device or an address")
    if uri.startswith("gst:"):
        return _gstreamer(uri.removeprefix("gst:"))
    found = re.fullmatch(r"(rpicam|csi)(?::(\d{1,2}))?(?:@(\d{2,5})x(\d{2,5})(?:@(\d{1,3}))?)?", uri)
    if found is None:
        if re.match(r"(rpicam|csi)[:@]", uri):
            raise InputError(f"camera {uri[:80]!r} is not understood", "write rpicam:0 or csi:0@1280x720@15")
        return Command((sys.executable, "-m", "edge_agent.sources.capture"), raw=True, told=uri + "\n")
    number = int(found[2] or 0)
    width, height, fps = (int(given or usual) for given, usual in zip(found.groups()[2:], SIZE, strict=True))
    if found[1] == "csi":
        taken = f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1"
        return _gstreamer(f"nvarguscamerasrc sensor-id={number} ! {taken} ! nvvidconv ! video/x-raw,format=I420")
    told = f"--camera {number} --width {width} --height {height} --framerate {fps}"
    line = f"rpicam-vid --nopreview --timeout 0 --codec mjpeg --flush {told} --output -"
    return Command(tuple(line.split()), missing="sudo apt install rpicam-apps-lite")


def _gstreamer(pipeline: str) -> Command:
    try:
        words = shlex.split(pipeline)
    except ValueError as error:
        raise InputError(f"the pipeline {pipeline[:80]!r} is not understood: {error}", "check its quotes") from error
    if not words:
        raise InputError("an empty pipeline", "write gst:v4l2src device=/dev/video0 ! videoconvert")
    end = ("!", "jpegenc", "quality=90", "!", "fdsink", "fd=1")
    missing = "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good"
    return Command(("gst-launch-1.0", "-q", *words, *end), missing=missing)


class CameraSource:
    """The newest frame of a camera. Frames that nobody took in time are dropped and counted in `dropped`; those that
    come as JPEG are decoded only when they are taken.

    One that gives no frame in time is lost: its child process is killed, whatever it hangs on.
    """

    def __init__(self, uri: str, *, clock: Clock | None = None, command: CommandOf = command_of) -> None:
        self._uri = uri
        self._name = f"camera {redacted(uri)}"
        self._clock = clock or SystemClock()
        self._command = command
        self._child: FrameChild | None = None
        self._newest: asyncio.Queue[tuple[Picture, float, int] | InputError] | None = None
        self._first: Frame | None = None
        self.dropped = 0

    def describe(self) -> str:
        return self._name

    async def open(self) -> None:
        """Start capturing and wait for the first frame. Raises InputError if none comes."""
        loop = asyncio.get_running_loop()
        newest: asyncio.Queue[tuple[Picture, float, int] | InputError] = asyncio.Queue(maxsize=2)  # and the end
        index = 0

        def hand_over(item: tuple[Picture, float, int] | InputError) -> None:
            if not isinstance(item, InputError) and not newest.empty():
                newest.get_nowait()
                self.dropped += 1
            newest.put_nowait(item)

        def put(item: tuple[Picture, float, int] | InputError) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(hand_over, item)

        def on_frame(picture: Picture) -> None:
            nonlocal index
            put((picture, self._clock.monotonic_s(), index))
            index += 1

        self._newest = newest
        self._child = await asyncio.to_thread(FrameChild, self._command(self._uri), self._name, on_frame, put)
        try:
            self._first = await self._next(OPEN_TIMEOUT_S)
        except BaseException:  # also where nobody waits any longer: the child must not stay
            await self.close()
            raise

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Frames until the camera is lost, which raises InputError."""
        first, self._first = self._first, None
        if first is not None:
            yield first
        while self._child is not None:
            yield await self._next(FRAME_TIMEOUT_S)

    async def _next(self, timeout_s: float) -> Frame:
        if self._newest is None:
            raise InputError(f"{self._name} is not open", "open it first")
        try:
            item = await within(self._newest.get(), timeout_s)
        except asyncio.TimeoutError as error:
            await self.close()
            raise InputError(f"{self._name} gave no frame for {timeout_s:g} s", "check its cable or address") from error
        if isinstance(item, InputError):
            await self.close()
            raise item
        picture, at_s, index = item
        if isinstance(picture, bytes):
            picture = await asyncio.to_thread(decode_photo, picture, self._name)
        return Frame(picture, at_s, index)


async def take_frame(uri: str, command: CommandOf = command_of) -> Frame:
    """One well exposed frame of a camera. Raises InputError."""
    camera = CameraSource(uri, command=command)
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
