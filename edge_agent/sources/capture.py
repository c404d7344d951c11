"""The child process of a camera that OpenCV reads: prints raw frames until its agent is gone or kills it.

`python -m edge_agent.sources.capture`, with the camera's name as the first line of its standard input: an address may
hold a password, which the list of processes must not show.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.sources.child import RAW_HEAD, RAW_MAGIC


def main() -> int:
    """Print frames. 3: the camera cannot be opened, or was lost; why is the last line of standard error."""
    uri = sys.stdin.readline().rstrip("\n")
    threading.Thread(target=_leave_with_the_agent, daemon=True).start()
    capture, pause_s = _opened(uri), _pause_s(uri)
    if not capture.isOpened():
        return _lost("it cannot be opened; run `edge-agent doctor` to see the cameras")
    fps = capture.get(5) if pause_s else 0.0  # cv2.CAP_PROP_FPS
    while True:
        there, pixels = capture.read()
        if not there or pixels is None:
            return _lost("it gives no more frames")
        pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            return _lost(f"it gives frames of shape {pixels.shape}")
        _write(RAW_HEAD.pack(RAW_MAGIC, pixels.shape[1], pixels.shape[0]), pixels.data.cast("B"))
        if pause_s:
            time.sleep(1 / fps if 1 <= fps <= 240 else pause_s)


def _opened(uri: str) -> Any:
    """A cv2.VideoCapture of an index, a device path, an address or a file; its own error messages are silenced."""
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said in one line, by us
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cv2.setNumThreads(1)
    return cv2.VideoCapture(int(uri) if uri.isascii() and uri.isdigit() else uri)


def _pause_s(uri: str) -> float:
    """A file has no pace of its own: seconds between its frames where it does not say; 0 for a camera."""
    return 0.04 if "://" not in uri and not uri.startswith("/dev/") and Path(uri).is_file() else 0.0


def _write(head: bytes, pixels: memoryview) -> None:
    for part in (memoryview(head), pixels):
        while part:
            part = part[os.write(1, part) :]


def _leave_with_the_agent() -> None:
    """The agent holds the other end of the standard input; whatever the camera hangs on, its end ends this process."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def _lost(words: str) -> int:
    sys.stderr.write(words + "\n")
    sys.stderr.flush()
    return 3


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:
        code = 0
    except Exception as error:  # noqa: BLE001 - the border of this process: what a driver throws is a lost camera
        code = _lost(f"{type(error).__name__}: {error}")
    os._exit(code)  # not by way of a driver's own end, which may hang
