"""Look-ups of names: found, unknown, and one that hangs, which must not hold back the end of the program."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from edge_agent.transport.client import CloudClient
from edge_agent.transport.resolver import DaemonResolver


def test_this_machine_is_found():
    (first, *_) = asyncio.run(DaemonResolver().resolve("localhost", 8787))
    assert (first["host"], first["port"]) == ("127.0.0.1", 8787)


def test_an_unknown_name_is_an_oserror():
    with pytest.raises(socket.gaierror):
        asyncio.run(DaemonResolver().resolve("no-such-host.invalid", 80))
    with pytest.raises(OSError, match="no host name"):
        asyncio.run(DaemonResolver().resolve("x" * 70 + ".example", 80))


def test_a_look_up_that_hangs_is_abandoned(monkeypatch):
    release = threading.Event()

    def hang(*_):
        release.wait(60)
        raise socket.gaierror("late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def probe():
        async with CloudClient("http://cloud.example:8787") as client:
            return await client.probe(0.2)

    health = asyncio.run(probe())  # would wait for the thread if it belonged to asyncio's pool
    assert not health.reachable
    assert not release.is_set()
    release.set()
