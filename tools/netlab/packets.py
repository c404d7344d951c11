"""A link between two network namespaces, packet by packet: their TCP is the kernel's own and sees every loss.

Needs root, iproute2 and /dev/net/tun; no kernel module for queueing.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from tools.netlab.link import Conditions, Pipe, Trace, steady

TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
_MTU = 1500
_IDLE_S = 0.05
# Both ends are in 127/8, which agent and cloud take for one machine: no token and no TLS are needed between them.
EDGE, CLOUD = "127.77.0.1", "127.77.0.2"
_SETTINGS = """cd /proc/sys/net/ipv4 && echo 1 > conf/all/route_localnet
echo cubic > tcp_congestion_control || echo reno > tcp_congestion_control"""


class Unavailable(Exception):
    """This machine does not let us make such a link; the text says why."""


class PacketLink:
    """Use as `with`. `in_edge` and `in_cloud` are what a command line begins with to run on that side."""

    way = "packets"
    cloud_host = CLOUD

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._names = (f"netlab-e{os.getpid()}", f"netlab-c{os.getpid()}")
        self._tuns: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="link", daemon=True)
        self._lock = threading.Lock()
        self._start_s = 0.0
        self._trace = steady(Conditions(1e3, 1e3))
        self._pipes = (Pipe(True, seed), Pipe(False, seed + 1))
        self.in_edge: Sequence[str] = ("ip", "netns", "exec", self._names[0])
        self.in_cloud: Sequence[str] = ("ip", "netns", "exec", self._names[1])
        self.bytes_up = 0

    def __enter__(self) -> PacketLink:
        if os.geteuid() != 0:
            raise Unavailable("only root may make network namespaces")
        if shutil.which("ip") is None:
            raise Unavailable("there is no `ip`: apt install iproute2")
        devices = (f"nlE{os.getpid()}", f"nlC{os.getpid()}")
        try:
            for name, device, own, other in zip(self._names, devices, (EDGE, CLOUD), (CLOUD, EDGE), strict=True):
                self._tuns.append(_open_tun(device))
                _side(name, device, own, other)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__(None, None, None)
            said = getattr(error, "stderr", "") or str(error)
            raise Unavailable(f"no namespaces with tunnels here ({said.strip()})") from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for tun in self._tuns:
            os.close(tun)
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def url_for(self, port: int) -> str:
        """How the edge reaches a cloud that listens on `port`."""
        return f"http://{CLOUD}:{port}"

    def begin(self, trace: Trace) -> None:
        """From now on the link is as `trace` says, with an empty queue."""
        with self._lock:
            self._trace, self._start_s, self.bytes_up = trace, time.monotonic(), 0
            self._pipes = (Pipe(True, self._seed), Pipe(False, self._seed + 1))

    def _carry(self) -> None:
        """The thread of the link: takes packets as they come, gives each to the other side when it is due."""
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
        edge, cloud = self._tuns
        waiting: list[tuple[float, int, int, bytes]] = []
        count = 0
        while not self._ended.is_set():
            wait_s = _IDLE_S if not waiting else min(_IDLE_S, max(0.0, waiting[0][0] - time.monotonic()))
            for tun in select.select([edge, cloud], [], [], wait_s)[0]:
                packet = os.read(tun, 2 * _MTU)
                arrives_s = self._sent(packet, up=tun == edge)
                if arrives_s is not None:
                    heapq.heappush(waiting, (arrives_s, count, cloud if tun == edge else edge, packet))
                    count += 1
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(waiting)
                with contextlib.suppress(BlockingIOError):  # a full device drops, as it would
                    os.write(to, packet)

    def _sent(self, packet: bytes, up: bool) -> float | None:
        if packet[0] >> 4 != 4:  # the kernel looks for IPv6 routers
            return None
        with self._lock:
            now_s = time.monotonic()
            self.bytes_up += len(packet) if up else 0
            link = self._trace.at(now_s - self._start_s)
            return self._pipes[0 if up else 1].packet(now_s, len(packet), link)


def _open_tun(name: str) -> int:
    tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(tun)
        raise
    return tun


def _side(name: str, device: str, own: str, other: str) -> None:
    """A namespace whose only way out is `device`."""
    inside = ("ip", "-n", name)
    for command in (
        ("ip", "netns", "add", name),
        ("ip", "link", "set", device, "netns", name),
        (*inside, "addr", "add", own, "peer", other, "dev", device),
        (*inside, "link", "set", device, "up", "mtu", str(_MTU), "txqueuelen", "1000"),
        ("ip", "netns", "exec", name, "sh", "-c", _SETTINGS),
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)
