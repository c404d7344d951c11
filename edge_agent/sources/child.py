"""A program that prints frames, run as a child that can be killed: what it hangs on never hangs the agent."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np

from edge_agent.errors import InputError
from edge_agent.sources.base import check_size
from edge_agent.types import U8

RAW_HEAD = struct.Struct("<4sII")  # magic, width, height; then height * width * 3 bytes of BGR
RAW_MAGIC = b"EAF1"
JPEG_START = b"\xff\xd8"
MAX_JPEG_BYTES = 32 << 20
READ_BYTES = 1 << 18
PIPE_BYTES = 1 << 20
STDERR_BYTES = 2000
REAP_S = 2.0
log = logging.getLogger(__name__)

Picture = U8 | bytes  # pixels [H, W, 3] uint8 BGR, or a JPEG that nobody has decoded yet


@dataclass(frozen=True, slots=True)
class Command:
    """A program that prints frames on its standard output: `raw` (RAW_HEAD and pixels) or, else, JPEGs back to back.
    `told` is written to its standard input, which then stays open: a child whose input ends has lost its agent.
    `missing`: what to type where there is no such program.
    """

    argv: tuple[str, ...]
    raw: bool = False
    told: str = ""
    missing: str = ""


class FrameChild:
    """One run of a Command. `on_frame` and, once, `on_end` (why it ended) are called from its thread.

    `kill` ends it whatever it hangs on; its thread then ends by itself. Raises InputError if it cannot be started.
    """

    def __init__(
        self, command: Command, name: str, on_frame: Callable[[Picture], None], on_end: Callable[[InputError], None]
    ) -> None:
        self._name = name
        self._raw = command.raw
        self._on_frame = on_frame
        self._on_end = on_end
        self._killed = False
        try:
            self._process = subprocess.Popen(
                command.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that its own children are killed with it
            )
        except OSError as error:
            words = f"{name}: {command.argv[0]} cannot be started: {error.strerror or error}"
            raise InputError(words, command.missing or "install it, or name another camera") from error
        self._said = bytearray()
        assert self._process.stdin is not None  # all three are pipes
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):  # it ended already: reading says so
            self._process.stdin.write(command.told.encode())
            self._process.stdin.flush()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._errors = threading.Thread(
            target=self._listen, args=(self._process.stderr,), name="camera-errors", daemon=True
        )
        self._errors.start()
        threading.Thread(target=self._read, args=(self._process.stdout,), name="camera", daemon=True).start()

    def kill(self) -> None:
        """End it now. May be called twice, from any thread."""
        self._killed = True
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self, errors: IO[bytes]) -> None:
        """Its last words, bounded; a full pipe would stop it."""
        while block := os.read(errors.fileno(), 4096):
            self._said += block
            del self._said[:-STDERR_BYTES]

    def _read(self, output: IO[bytes]) -> None:
        """The thread: frames until the child ends, is killed, or prints what is no frame."""
        words = ""
        try:
            reader = RawReader(output) if self._raw else JpegReader(output)
            while (picture := reader.next(self._name)) is not None:
                if self._killed:
                    break
                self._on_frame(picture)
        except InputError as error:
            words = str(error)
        except (OSError, ValueError) as error:
            words = f"{self._name} was lost: {error}"
        finally:
            self.kill()
            self._reap()
        self._on_end(InputError(words or self._last_words(), "check its cable or address"))

    def _reap(self) -> None:
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:  # stuck in the kernel: the kernel keeps it, the agent does not wait
            log.warning("%s: its process %d does not end", self._name, self._process.pid)
        self._errors.join(REAP_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _last_words(self) -> str:
        said = self._said.decode("utf-8", "replace").strip().splitlines()
        code = self._process.returncode
        how = "it was killed" if code is not None and code < 0 else f"exit code {code}"
        return f"{self._name} was lost ({said[-1][-300:] if said else how})"


class RawReader:
    """Frames of RAW_HEAD and pixels, each read straight into its own array."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def next(self, name: str) -> Picture | None:
        """The next frame; None at the end, also within a frame. Raises InputError for what is no frame."""
        head = self._stream.read(RAW_HEAD.size)
        if len(head) < RAW_HEAD.size:
            return None
        magic, width, height = RAW_HEAD.unpack(head)
        if magic != RAW_MAGIC:
            raise InputError(f"{name} prints what is no frame")
        check_size(name, width, height)
        pixels = np.empty((height, width, 3), np.uint8)
        view, have = pixels.data.cast("B"), 0
        while have < len(view):
            got = self._stream.readinto(view[have:])  # type: ignore[attr-defined]
            if not got:
                return None
            have += got
        return pixels


class JpegReader:
    """JPEGs back to back, cut at their own markers: a picture within a picture (a preview) does not end one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._handle = stream.fileno()
        self._held = bytearray()

    def next(self, name: str) -> Picture | None:
        """The next whole JPEG; None at the end. Raises InputError for what is none."""
        searched = 0
        while True:
            if not JPEG_START.startswith(bytes(self._held[:2])):
                raise InputError(f"{name} prints what is no JPEG")
            end, searched = jpeg_end(self._held, searched)
            if end:
                picture = bytes(self._held[:end])
                del self._held[:end]
                return picture
            if len(self._held) > MAX_JPEG_BYTES:
                raise InputError(f"{name} prints a picture of more than {MAX_JPEG_BYTES} bytes")
            if not (block := os.read(self._handle, READ_BYTES)):
                return None
            self._held += block


def jpeg_end(data: bytearray, searched: int = 0) -> tuple[int, int]:
    """Where the JPEG that begins `data` ends, 0 if that is not there yet; and how far its scan has been searched, to go
    on from there. Segments are skipped by their lengths; in the scan, FF D9 can only be the end.
    """
    at = searched
    if not at:
        at = 2
        while at + 4 <= len(data):
            if data[at] != 0xFF:
                return len(data), 0  # damaged: given out as it is, and refused by the decoder
            if data[at + 1] == 0xFF:  # padding
                at += 1
                continue
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == 0xDA:
                at += 2 + length
                break
            at += 2 + length
        else:
            return 0, 0
    end = data.find(b"\xff\xd9", at)
    return (end + 2, 0) if end >= 0 else (0, max(at, len(data) - 1))
