"""The seam of every source: open, iterate frames and sound, close, describe; and the checks that all files share."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_agent.errors import InputError
from edge_agent.types import F32, AudioWindow, Frame

SOUND_RATE_HZ = 16_000
MAX_PIXELS = 64_000_000
MAX_SIDE = 32_000
MAX_FILE_BYTES = 4 << 30

Item = Frame | AudioWindow


class Source(Protocol):
    """Something to watch. Iterating gives frames and windows of sound in the order of their times."""

    async def open(self) -> None:
        """Get ready. Raises InputError if there is nothing to be had."""
        ...

    def __aiter__(self) -> AsyncIterator[Item]:
        """The items until the source ends (a file) or is lost, which raises InputError (a device)."""
        ...

    async def close(self) -> None:
        """Let go of everything, even while a read hangs. May be called twice."""
        ...

    def describe(self) -> str:
        """What it is, for people."""
        ...


def redacted(uri: str, instead: str = "") -> str:
    """An address with `instead` in place of the user name and password in it, for logs and records."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    host, slash, path = rest.partition("/")
    named, at, bare = host.rpartition("@")
    return scheme + mark + (instead + at if named and instead else "") + bare + slash + path


def clean_samples(samples: F32) -> F32:
    """The samples within -1..1, in place; what is not a number becomes silence. Files and drivers hold anything."""
    np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(samples, -1.0, 1.0, out=samples)


def regular_file(path: Path, kind: str, most_bytes: int = MAX_FILE_BYTES) -> int:
    """The size of a readable, regular file that is not empty. Raises InputError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # before it is opened: opening a pipe waits for somebody who writes
            what = "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
            raise InputError(f"{path} {what}", f"name a {kind}")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{str(path)[:300]}: {words}", f"name a readable {kind}") from error
    if status.st_size == 0:
        raise InputError(f"{path} is empty", f"name a {kind} with something in it")
    if status.st_size > most_bytes:
        raise InputError(f"{path} has {status.st_size} bytes", f"at most {most_bytes} are read as a {kind}")
    return status.st_size


def check_size(path: object, width: int, height: int) -> None:
    """Refuse a picture by its declared size, before memory is taken for it. Raises InputError."""
    if width < 1 or height < 1:
        raise InputError(f"{path} declares a picture of {width}x{height} pixels", "the file is damaged")
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{path} declares a picture of {width}x{height} pixels",
            f"at most {MAX_PIXELS // 10**6} megapixels are read",
        )
