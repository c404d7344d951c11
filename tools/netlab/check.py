"""Does the link do what it was told? A plain TCP connection over it: its round trip, and its rate up.

`python -m tools.netlab --check` runs both sides; alone: `check serve HOST`, which prints its port, and `check ask URL`.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from tools.netlab.link import Trace
from tools.netlab.processes import Link

ROUNDS = 11
RATE_S = 1.0
BLOCK = b"x" * 65536
TIMEOUT_S = 60.0


def seen(link: Link, trace: Trace) -> dict[str, float]:
    """`rtt_ms`, the median of ROUNDS, and `up_mbit`, of what TCP carried in about RATE_S, over `link`."""
    module = (sys.executable, "-m", "tools.netlab.check")
    far = subprocess.Popen([*link.in_cloud, *module, "serve", link.cloud_host], stdout=subprocess.PIPE, text=True)
    try:
        assert far.stdout is not None
        url = link.url_for(int(far.stdout.readline()))
        link.begin(trace)
        size = int(trace.at(0).up_mbit * 1e6 / 8 * RATE_S)
        done = subprocess.run([*link.in_edge, *module, "ask", url, str(size)], stdout=subprocess.PIPE, check=True)
        result: dict[str, float] = json.loads(done.stdout)
        return result
    finally:
        far.kill()
        far.wait()
        if far.stdout is not None:
            far.stdout.close()


def serve(host: str) -> None:
    """Echo one byte at a time; of a block, say when all of it is there."""
    with socket.create_server((host, 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            near, _ = server.accept()
            with near:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while mark := near.recv(1):
                    if mark == b"b":
                        left = int.from_bytes(near.recv(8, socket.MSG_WAITALL), "big")
                        while left:
                            left -= len(near.recv(min(left, len(BLOCK))))
                    near.sendall(mark)


def ask(url: str, size: int) -> dict[str, Any]:
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), TIMEOUT_S) as far:
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = []
        for _ in range(ROUNDS):
            began_s = time.perf_counter()
            far.sendall(b"a")
            far.recv(1)
            trips.append(time.perf_counter() - began_s)
        rtt_s = statistics.median(trips)
        began_s = time.perf_counter()
        far.sendall(b"b" + size.to_bytes(8, "big"))
        for start in range(0, size, len(BLOCK)):
            far.sendall(BLOCK[: min(len(BLOCK), size - start)])
        far.recv(1)
        taken_s = time.perf_counter() - began_s - rtt_s
    return {"rtt_ms": round(rtt_s * 1000, 2), "up_mbit": round(size * 8 / 1e6 / taken_s, 3)}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(ask(sys.argv[2], int(sys.argv[3]))))
