"""What the work on one frame consists of, each part timed by itself in this process, its data in the cache."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from edge_agent.transport.checksum import crc32
from edge_agent.transport.frames import Frame, FrameType, encode_frame
from edge_agent.transport.intake import Filling, new_intake

FRAMES = 128
BYTES = 8192
TIMES = 21


def parts_us() -> dict[str, float]:
    """Microseconds of CPU a frame of 8 KiB. `intake` is all that one frame takes behind aiohttp, `checksum` and `copy`
    are parts of it; `name`, sha256, is not: the thread that decodes a turn checks it, see the row `whole_turn`.
    """
    payload = bytes(range(256)) * (BYTES // 256)
    frames = [
        encode_frame(Frame(FrameType.TENSOR_CHUNK, payload=payload, session=1, stream=1, seq=number))
        for number in range(FRAMES)
    ]

    def intake() -> None:
        one = new_intake()
        one.arm(1, 1, 0, Filling(FRAMES * BYTES), FRAMES * BYTES, BYTES)
        for data in frames:
            one.take(data)

    def checksum() -> None:
        for data in frames:
            crc32(data)

    def copy() -> None:
        filling = Filling(FRAMES * BYTES)
        for _ in frames:
            filling.add(payload)

    def name() -> None:
        for data in frames:
            hashlib.sha256(data)

    return {work.__name__: _best_us(work) for work in (intake, checksum, copy, name)}


def _best_us(work: Callable[[], None]) -> float:
    taken_ns = []
    for _ in range(TIMES):
        before_ns = time.thread_time_ns()
        work()
        taken_ns.append(time.thread_time_ns() - before_ns)
    return round(min(taken_ns) / 1000 / FRAMES, 2)
