"""Which hosts are this machine itself: there a token may travel in the clear, and a cloud may listen without one."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is the loopback interface; no name but `localhost` is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
