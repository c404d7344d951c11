"""A program that prints frames as rpicam-vid, GStreamer or our own child do, and then ends as it is told.

usage: fake_camera.py raw|jpeg FRAMES END [CUT]
END: exit (quietly), words (an error on standard error, code 3), hang (says nothing more, deaf to SIGTERM), junk.
CUT: of one more frame so many bytes are printed before the end.
"""

from __future__ import annotations

import base64
import os
import signal
import struct
import sys
import time

WIDTH, HEIGHT = 8, 8
RAW = struct.pack("<4sII", b"EAF1", WIDTH, HEIGHT)
# An 8x8 grey JPEG, with a preview (a JPEG of its own) in its first segment.
JPEG = base64.b64decode(os.environ.get("FAKE_CAMERA_JPEG", ""))


def picture(kind: str, number: int) -> bytes:
    if kind == "jpeg":
        return JPEG
    return RAW + bytes([number % 256]) * (WIDTH * HEIGHT * 3)


def main() -> None:
    kind, frames, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    cut = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in range(frames):
        os.write(1, picture(kind, number))
        time.sleep(0.002)
    os.write(1, picture(kind, frames)[:cut])
    if end == "junk":
        os.write(1, b"this is no frame" * 100)
    if end in ("hang", "junk"):
        time.sleep(600)
    if end == "words":
        sys.stderr.write("an early line\ncamera unplugged\n")
        sys.exit(3)


main()
