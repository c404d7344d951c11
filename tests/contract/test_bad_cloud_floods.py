"""Clouds that flood: what is too large is refused by its header or at its limit, whatever else still comes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import tracemalloc

from edge_agent.errors import CloudError
from edge_agent.transport.answers import Usage
from edge_agent.transport.frames import Frame, FrameType
from failing import failure
from scripted import raw_server, scripted_cloud


def test_endless_http_headers_end_in_an_error_with_bounded_memory():
    async def endless(reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        for number in range(4000):
            writer.write(b"X-%d: " % number + b"a" * 4000 + b"\r\n")
            await writer.drain()
        await asyncio.sleep(60)

    tracemalloc.start()
    try:
        error = failure(raw_server(endless))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code in ("protocol", "unreachable", "timeout")
    assert peak < 64 * 2**20


async def upgrade_by_hand(reader, writer) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split()[1]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: eap.v1\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def traced_failure(serving) -> tuple[CloudError, int]:
    tracemalloc.start()
    try:
        error = failure(serving)
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_message_of_a_gigabyte_is_refused_by_its_header():
    sent = [0]

    async def flood(reader, writer):
        await upgrade_by_hand(reader, writer)
        writer.write(b"\x82\x7f" + struct.pack(">Q", 2**30))
        block = b"\x00" * 2**16
        for _ in range(2**14):
            writer.write(block)
            await writer.drain()
            sent[0] += len(block)

    error, peak = traced_failure(raw_server(flood))
    assert (error.code, error.retryable) == ("too_large", False)
    assert peak < 32 * 2**20
    assert sent[0] < 2**28


def test_a_gigabyte_in_small_frames_is_refused_at_the_limit():
    sent = [0]

    async def script(peer):
        await peer.welcome()
        await peer.question()
        while True:
            await peer.send(Frame(FrameType.USAGE, Usage(1, 1, 0).to_frame().meta, b"\x00" * 60_000))
            sent[0] += 60_000

    error, peak = traced_failure(scripted_cloud(script))
    assert (error.code, error.retryable) == ("too_large", False)
    assert peak < 32 * 2**20
    assert sent[0] < 2**28


def test_a_flood_of_session_frames_is_refused_too():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        while True:
            await peer.send(Frame(FrameType.GOAWAY, payload=b"\x00" * 60_000), 0)

    assert failure(scripted_cloud(script)).code == "too_large"


def test_random_bytes_after_the_upgrade_are_a_typed_error():
    async def noise(reader, writer):
        await upgrade_by_hand(reader, writer)
        writer.write(hashlib.sha512(b"noise").digest() * 100)
        await writer.drain()
        await asyncio.sleep(60)

    assert failure(raw_server(noise)).code in ("protocol", "closed", "too_large")
