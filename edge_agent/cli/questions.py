"""Lines of stdin, each a question."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

MAX_LINE_BYTES = 8192


def read_questions(put: Callable[[str], object]) -> None:
    """Lines of stdin, each a question, from a daemon thread: a read of stdin that never returns holds nobody up."""

    def read() -> None:
        rest = b""
        while block := _read_block():
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-MAX_LINE_BYTES:]
            for line in lines:
                if line.strip():
                    put(line.decode(errors="replace").strip())

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _read_block() -> bytes:
    """Some bytes of stdin; none at its end or where there is none. Not through sys.stdin, whose lock a reader keeps."""
    try:
        return os.read(0, 4096)
    except OSError:
        return b""
