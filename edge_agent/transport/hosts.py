"""URLs of a cloud, and which hosts are this machine: there a token may travel in the clear, or none is needed."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from edge_agent.errors import UsageError
from edge_agent.transport.frames import ENDPOINT


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is the loopback interface; no name but `localhost` is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def endpoints(url: str, has_token: bool) -> tuple[str, str]:
    """The WebSocket and health URLs of `url`. Raises UsageError, see transport.client.CloudClient."""
    hint = "give it as http://HOST:PORT or https://HOST"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL of a cloud", hint) from error
    secure = {"http": False, "ws": False, "https": True, "wss": True}.get(parts.scheme.lower())
    if secure is None or not host or port == 0 or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is not a URL of a cloud", hint)
    if has_token and not secure and not is_loopback(host):
        raise UsageError(f"a token would travel unencrypted to {host}", f"use https://{parts.netloc}")
    path = parts.path if parts.path.strip("/") else ENDPOINT
    return (
        f"{'wss' if secure else 'ws'}://{parts.netloc}{path}",
        f"{'https' if secure else 'http'}://{parts.netloc}/healthz",
    )
