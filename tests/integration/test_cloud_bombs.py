"""Bombs against the reference cloud in a process of its own, with the shipped model: a typed error, the connection is
closed, memory hardly grows, and a session beside them is answered as before.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from functools import cache

import pytest
import zstandard

from clouds import RawClient, opening, raw_client
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.frames import Frame, FrameType, canonical_json, encode_frame
from edge_agent.transport.messages import uuid7
from measured import Server, measured_cloud

_HEADER = struct.Struct("<4sBBHQIIII")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with measured_cloud() as running:
        yield running


Bomb = Callable[[RawClient, Server], Awaitable[None]]


def described(one: EncodedTensor, **changes: object) -> tuple[str, Frame]:
    """Name and TENSOR_BEGIN of a tensor that says of itself what `changes` say."""
    said = one.description() | changes
    size = said.pop("bytes", len(one.payload))
    name = hashlib.sha256(canonical_json(said) + b"\n" + one.payload).hexdigest()
    return name, Frame(FrameType.TENSOR_BEGIN, said | {"tensor_id": name, "bytes": size})


def declares(**changes: object) -> Bomb:
    """A tensor that declares what it should not, whole."""

    async def send(client: RawClient, server: Server) -> None:
        name, begin = described(server.picture, **changes)
        await client.send(opening(tensor_ids=(name,)).to_frame())
        await client.send(begin)
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=server.picture.payload))
        await client.send(Frame(FrameType.TENSOR_END))

    return send


def holds(payload: Callable[[int], bytes], **changes: object) -> Bomb:
    """A tensor of the right shape whose body is what `payload` makes for its size."""

    async def send(client: RawClient, server: Server) -> None:
        whole = server.picture
        body = payload(whole.shape[0] * (whole.shape[1] + 4))
        made = EncodedTensor(whole.codec, whole.dtype, whole.shape, body, whole.encoder_id)
        name, begin = described(made, **changes)
        await client.send(opening(tensor_ids=(name,)).to_frame())
        await client.send(begin)
        for at in range(0, len(body), 65536):
            await client.send(Frame(FrameType.TENSOR_CHUNK, payload=body[at : at + 65536]))
        await client.send(Frame(FrameType.TENSOR_END))

    return send


@cache
def zeros(size: int, declared: int | None) -> bytes:
    """A zstd frame of `size` zeros that says that it holds `declared`, or does not say."""
    block = bytes(1 << 20)
    packer = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    made = b"".join([*(packer.compress(block) for _ in range(size >> 20)), packer.flush()])
    if declared is None:
        return made
    assert made[4] & 0xE0 == 0, "no content size, not a single segment"
    return made[:4] + bytes([made[4] | 0x80]) + made[5:6] + struct.pack("<I", declared) + made[6:]


def jpeg_of(width: int, height: int) -> bytes:
    """The header of a JPEG that says it is so large, and no picture."""
    return (
        b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x01\x22\0\x02\x11\1\x03\x11\1\xff\xd9"
    )


def raw(
    change: Callable[[bytearray], None], meta: bytes = b"", payload: bytes = b"x", kind: int = FrameType.TURN
) -> Bomb:
    """One frame whose bytes are `change`d behind its checksum."""

    async def send(client: RawClient, server: Server) -> None:
        head = _HEADER.pack(b"EAP1", kind, 0, 1, client.numbering.session, 1, 0, len(meta), len(payload))
        data = bytearray(head + struct.pack("<I", zlib.crc32(meta + payload, zlib.crc32(head))) + meta + payload)
        change(data)
        await client.socket.send_bytes(bytes(data))

    return send


def patched(at: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into("<I", data, at, value)


def text(payload: bytes) -> Bomb:
    """A TURN with this text."""

    async def send(client: RawClient, server: Server) -> None:
        await client.send(Frame(FrameType.TURN, opening().to_frame().meta, payload))

    return send


async def gap(client: RawClient, server: Server) -> None:
    name, begin = described(server.picture)
    await client.send(opening(tensor_ids=(name,)).to_frame())
    client.numbering.stamp(begin, 1)  # never sent
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=b"x"))


async def twice(client: RawClient, server: Server) -> None:
    """The same chunk once more, with its old number."""
    name, begin = described(server.picture)
    await client.send(opening(tensor_ids=(name,)).to_frame())
    await client.send(begin)
    frame = client.numbering.stamp(Frame(FrameType.TENSOR_CHUNK, payload=b"x"), 1)
    await client.socket.send_bytes(encode_frame(frame))
    await client.socket.send_bytes(encode_frame(frame))


async def after_end(client: RawClient, server: Server) -> None:
    """A tensor goes on behind its TENSOR_END, while another is awaited."""
    name, begin = described(server.picture)
    await client.send(opening(tensor_ids=(name, "0" * 64)).to_frame())
    await client.send(begin)
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=server.picture.payload))
    await client.send(Frame(FrameType.TENSOR_END))
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=server.picture.payload))


NESTED = b'{"a":' + b"[" * 8000 + b"]" * 80 + b"}"
NOISE = random.Random(5).randbytes(4096)
# What is sent, and the codes that may answer it.
BOMBS: dict[str, tuple[Bomb, set[str]]] = {
    "30000x30000": (declares(shape=[30000, 30000]), {"too_large"}),
    "4096x8192": (declares(shape=[4096, 8192]), {"too_large"}),
    "raw of 4096x192": (declares(shape=[4096, 192], codec="raw-f32", dtype="float32"), {"bad_tensor"}),
    "a tensor of 1 GiB": (declares(bytes=1 << 30), {"protocol", "too_large"}),
    "zstd of zeros": (holds(lambda _: zeros(1 << 30, 1 << 30)), {"bad_tensor"}),
    "zstd of zeros, size not told": (holds(lambda _: zeros(1 << 30, None)), {"bad_tensor"}),
    "zstd of zeros that lies": (holds(lambda size: zeros(1 << 30, size)), {"bad_tensor"}),
    "zstd cut short": (holds(lambda size: zeros(1 << 30, size)[:40]), {"bad_tensor"}),
    "no zstd": (holds(lambda size: NOISE), {"bad_tensor"}),
    "picture of 60000x60000": (
        holds(lambda _: jpeg_of(60000, 60000), codec="jpeg", dtype="uint8", encoder_id="pixels", shape=[64, 64]),
        {"bad_tensor"},
    ),
    "nested meta": (raw(lambda _: None, NESTED), {"protocol"}),
    "nested text": (text(b"[" * 16000), {"protocol"}),
    "keys by the thousand": (text(b"[{" + b'"a":1,' * 2600 + b'"a":1}]'), {"protocol"}),
    "numbers by the thousand digits": (text(b"[" + b"9" * 16000 + b"]"), {"protocol"}),
    "payload of 1 GiB": (raw(patched(28, 1 << 30)), {"too_large"}),
    "meta of 1 GiB": (raw(patched(24, 1 << 30)), {"too_large"}),
    "wrong checksum": (raw(patched(32, 1)), {"protocol"}),
    "wrong checksum of a chunk": (raw(patched(32, 1), kind=FrameType.TENSOR_CHUNK), {"protocol"}),
    "right checksum over garbage": (raw(lambda _: None, NOISE, NOISE), {"protocol"}),
    "right checksum over a garbage text": (text(NOISE), {"protocol"}),
    "a gap": (gap, {"protocol"}),
    "a chunk twice": (twice, {"protocol"}),
    "chunk after END": (after_end, {"protocol"}),
    "unknown encoder": (declares(encoder_id="eyes-of-tomorrow"), {"unknown_encoder"}),
    "codec from the future": (declares(codec="int2-brotli9"), {"unknown_codec"}),
    "a type from the future": (raw(lambda _: None, kind=0x7F), {"protocol"}),
}


async def answered(client: RawClient, server: Server, stream: int) -> tuple[int, list[bytes]]:
    """How a good question on a session ends, and its tokens."""
    await client.ask(opening([server.picture], turn_id=uuid7(stream)), [server.picture], stream)
    frames = await client.until_end(stream)
    return frames[-1].type, [one.payload for one in frames if one.type == FrameType.TOKENS]


async def set_off(server: Server, bomb: Bomb) -> str:
    """The code that answers a bomb. The connection is closed behind the answer."""
    async with raw_client(server.url) as client:
        with server.growing_little():
            await bomb(client, server)
            frame = await client.read()
        assert (frame.type, frame.stream) == (FrameType.ERROR, 0), frame
        assert await client.closed_with() in (1002, 1009)
        return str(frame.meta["code"])


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_typed_error_takes_little_memory_and_harms_nobody(server: Server, name: str) -> None:
    bomb, codes = BOMBS[name]

    async def main() -> None:
        async with raw_client(server.url, device="innocent") as other:
            kind, before = await answered(other, server, 1)
            assert kind == FrameType.DONE
            for _ in range(3):
                assert await set_off(server, bomb) in codes
            kind, after = await answered(other, server, 2)
            assert kind == FrameType.DONE
            assert b"".join(after) == b"".join(before)

    asyncio.run(main())
    assert server.process.poll() is None
