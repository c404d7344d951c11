"""What the kernel knows of a TCP connection's packets: round trip and retransmissions, from the traffic itself."""

from __future__ import annotations

import socket as sockets
import struct
from asyncio.trsock import TransportSocket
from dataclasses import dataclass

# struct tcp_info of <linux/tcp.h>: eight bytes, then 32-bit numbers; segs_out follows after four 64-bit ones.
_RTT_US, _TOTAL_RETRANS, _SEGS_OUT = 68, 100, 136
_BYTES = 140


@dataclass(frozen=True, slots=True)
class Wire:
    """`rtt_ms` smoothed by the kernel; `loss_share` 0..1 of the segments sent that had to be sent again. None: not
    known.
    """

    rtt_ms: float | None = None
    loss_share: float | None = None


UNKNOWN = Wire()


def wire_of(socket: TransportSocket | None) -> Wire:
    """What the kernel says of `socket`; UNKNOWN for none, one that is closed, or on another system than Linux."""
    if socket is None or not hasattr(sockets, "TCP_INFO"):
        return UNKNOWN
    try:
        info = socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, 256)
    except OSError:
        return UNKNOWN
    return parse(info)


def parse(info: bytes) -> Wire:
    """A struct tcp_info, as long as this kernel's is."""
    if len(info) < _RTT_US + 4:
        return UNKNOWN
    rtt_us = struct.unpack_from("=I", info, _RTT_US)[0]
    loss = None
    if len(info) >= _BYTES:
        again, out = struct.unpack_from("=I", info, _TOTAL_RETRANS)[0], struct.unpack_from("=I", info, _SEGS_OUT)[0]
        loss = min(1.0, again / out) if out else None
    return Wire(rtt_us / 1000 if rtt_us else None, loss)
