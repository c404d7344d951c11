"""A camera of the day rig: prints raw frames at a pace, then dies, hangs or prints junk within a frame.

usage: python camera_program.py FRAMES FPS END CUT    END: exit, words, hang, junk; CUT: bytes of one more frame
"""

from __future__ import annotations

import os
import struct
import sys
import time

WIDTH, HEIGHT = 320, 240
HEAD = struct.pack("<4sII", b"EAF1", WIDTH, HEIGHT)
FRAME_BYTES = len(HEAD) + WIDTH * HEIGHT * 3


def frame(number: int) -> bytes:
    """A bright bar that moves over a dim ground; every forty frames the ground changes, which triggers a question."""
    ground = 40 + 120 * (number // 40 % 2)
    row = bytearray([ground]) * (WIDTH * 3)
    at = number * 6 % (WIDTH - 40)
    row[at * 3 : (at + 40) * 3] = bytes([230, 200, 60]) * 40
    return HEAD + bytes(row) * HEIGHT


def write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def main() -> None:
    frames, fps, end, cut = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    began_s = time.monotonic()
    for number in range(frames):
        write(frame(number))
        time.sleep(max(0.0, began_s + (number + 1) / fps - time.monotonic()))
    write(frame(frames)[:cut])
    if end == "junk":
        write(b"this is no frame" * 1000)
    if end in ("hang", "junk"):
        time.sleep(3600)
    if end == "words":
        sys.stderr.write("the bus was reset\n")
        sys.exit(3)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(0)
