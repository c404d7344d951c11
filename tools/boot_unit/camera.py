"""A camera for the container: MJPEG over HTTP, ten frames a second, with a bar that moves. usage: camera.py PORT"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


def jpeg(number: int) -> bytes:
    picture = np.full((240, 320, 3), 60 + 100 * (number // 50 % 2), np.uint8)
    picture[:, number * 5 % 280 : number * 5 % 280 + 40] = (60, 200, 230)
    return bytes(cv2.imencode(".jpg", picture)[1].tobytes())


class Stream(BaseHTTPRequestHandler):
    """One endless stream a request."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        while True:
            data = jpeg(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            number += 1
            time.sleep(0.1)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Stream).serve_forever()
