"""More bytes than the reference cloud wants, by WebSocket and by POST: it stops soon and takes little memory."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Iterable, Iterator
from itertools import repeat

import pytest

from clouds import opening, raw_client
from edge_agent.transport.frames import (
    ENDPOINT,
    POST_ENDPOINT,
    SUBPROTOCOL,
    Frame,
    FrameType,
    encode_frame,
)
from edge_agent.transport.messages import Hello
from edge_agent.transport.numbering import Numbering
from measured import Server, measured_cloud

GIGABYTE = 1 << 30
READ_BYTES = 1 << 26
"""What the two ends' sockets hold, and what is read before a body is too long, are less."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with measured_cloud() as running:
        yield running


async def sent_until_cut_off(writer: asyncio.StreamWriter, parts: Iterable[bytes]) -> int:
    """How many bytes of `parts` the other end let go out before it closed, all of them if it did not."""
    sent = 0
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            sent += len(part)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return sent


def test_a_message_of_a_gigabyte_is_refused_by_its_header(server: Server) -> None:
    async def main() -> int:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = base64.b64encode(bytes(16)).decode()
        lines = ["GET " + ENDPOINT + " HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\xff" + struct.pack(">Q", GIGABYTE) + bytes(4))
        return await sent_until_cut_off(writer, repeat(bytes(1 << 16), GIGABYTE >> 16))

    with server.growing_little():
        assert asyncio.run(main()) < READ_BYTES


def test_uploads_that_never_end_are_bounded_and_given_back(server: Server) -> None:
    """One client holds as much as it may: four turns of 4 MiB, none of which ends."""

    async def main() -> str:
        async with raw_client(server.url) as client:
            meta = server.picture.description() | {"bytes": 4 << 20}
            for stream in range(1, 5):
                await client.send(opening(tensor_ids=(f"{stream:064x}",)).to_frame(), stream)
                await client.send(Frame(FrameType.TENSOR_BEGIN, meta | {"tensor_id": f"{stream:064x}"}), stream)
                for _ in range((4 << 20) // 65536):
                    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=bytes(65536)), stream)
            await client.send(Frame(FrameType.CANCEL), 4)
            return str((await client.until_end(4))[-1].meta["code"])

    with server.growing_little():
        assert asyncio.run(main()) == "cancelled"


def body_of_frames() -> bytes:
    """HELLO, and a turn whose first tensor never comes to its end: all that follows could be pieces of it."""
    numbering = Numbering()
    turn = opening(tensor_ids=("0" * 64,)).to_frame()
    frames = [(Hello().to_frame(), 0), (turn, 1), (Frame(FrameType.CANCEL), 1)]
    return b"".join(encode_frame(numbering.stamp(frame, stream)) for frame, stream in frames)


LATE = encode_frame(Frame(FrameType.TENSOR_CHUNK, payload=bytes(65536), stream=1))  # of a turn that is over: ignored


async def posted(server: Server, headers: list[str], start: bytes, block: bytes) -> int:
    """How much of a gigabyte of `block`s behind `start` could be sent."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(("\r\n".join([f"POST {POST_ENDPOINT} HTTP/1.1", f"Host: {host}", *headers]) + "\r\n\r\n").encode())
    answer = asyncio.create_task(reader.read(-1))  # as a client would, so that nothing waits for it to be read
    blocks = [start] * bool(start) + [block] * (GIGABYTE // len(block))
    chunked = "Transfer-Encoding: chunked" in headers
    sent = await sent_until_cut_off(writer, (chunk(part) if chunked else part for part in blocks))
    await asyncio.gather(answer, return_exceptions=True)
    return sent


def chunk(part: bytes) -> bytes:
    """As `Transfer-Encoding: chunked` has it; one without bytes would end the body."""
    return b"%x\r\n" % len(part) + part + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "start", "block"),
    [
        (["Transfer-Encoding: chunked"], body_of_frames(), LATE),
        (["Transfer-Encoding: chunked"], b"", bytes(65536)),
        ([f"Content-Length: {GIGABYTE}"], b"", bytes(65536)),
    ],
    ids=["frames without end", "no frames", "announced"],
)
def test_a_body_of_a_gigabyte_is_refused_while_it_comes(
    server: Server, headers: list[str], start: bytes, block: bytes
) -> None:
    with server.growing_little():
        assert asyncio.run(posted(server, headers, start, block)) < READ_BYTES
    assert server.process.poll() is None
