"""Bombs against the reference cloud in a process of its own, with the shipped model: a typed error, the connection is
closed, memory hardly grows, and a session beside them is answered as before.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import zstandard

from clouds import RawClient, opening, raw_client
from edge_agent.transport.codecs import EncodedTensor, find_codec
from edge_agent.transport.frames import ENDPOINT, SUBPROTOCOL, Frame, FrameType, canonical_json, encode_frame
from edge_agent.transport.messages import uuid7
from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, find_bundle

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 32 << 20
READY_S = 60
_HEADER = struct.Struct("<4sBBHQIIII")


class Server:
    """The process, and how much memory it takes."""

    def __init__(self, process: subprocess.Popen[str], url: str, bundle: Bundle) -> None:
        self.process, self.url, self.bundle = process, url, bundle
        self._status = Path(f"/proc/{process.pid}/status")

    def memory_bytes(self, what: str) -> int:
        for line in self._status.read_text("ascii").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(what)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")

    @cache  # noqa: B019 - one server a module
    def picture(self) -> EncodedTensor:
        size = (self.bundle.tokens_per_image, self.bundle.hidden_size)
        data = np.random.default_rng(3).normal(size=size).astype(np.float32)
        return find_codec("int8-zstd").encode(Embeddings(data, self.bundle.encoder_id))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process's memory is Linux' to tell")
    bundle = Bundle.open(find_bundle("cloud-vqa"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield Server(process, json.loads(process.stdout.readline())["url"], bundle)
    finally:
        process.kill()
        process.communicate()


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
        name, begin = described(server.picture(), **changes)
        await client.send(opening(tensor_ids=(name,)).to_frame())
        await client.send(begin)
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=server.picture().payload))
        await client.send(Frame(FrameType.TENSOR_END))

    return send


def holds(payload: Callable[[int], bytes], **changes: object) -> Bomb:
    """A tensor of the right shape whose body is what `payload` makes for its size."""

    async def send(client: RawClient, server: Server) -> None:
        whole = server.picture()
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
    name, begin = described(server.picture())
    await client.send(opening(tensor_ids=(name,)).to_frame())
    client.numbering.stamp(begin, 1)  # never sent
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=b"x"))


async def twice(client: RawClient, server: Server) -> None:
    """The same chunk once more, with its old number."""
    name, begin = described(server.picture())
    await client.send(opening(tensor_ids=(name,)).to_frame())
    await client.send(begin)
    frame = client.numbering.stamp(Frame(FrameType.TENSOR_CHUNK, payload=b"x"), 1)
    await client.socket.send_bytes(encode_frame(frame))
    await client.socket.send_bytes(encode_frame(frame))


async def after_end(client: RawClient, server: Server) -> None:
    """A tensor goes on behind its TENSOR_END, while another is awaited."""
    name, begin = described(server.picture())
    await client.send(opening(tensor_ids=(name, "0" * 64)).to_frame())
    await client.send(begin)
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=server.picture().payload))
    await client.send(Frame(FrameType.TENSOR_END))
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=server.picture().payload))


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
    await client.ask(opening([server.picture()], turn_id=uuid7(stream)), [server.picture()], stream)
    frames = await client.until_end(stream)
    return frames[-1].type, [one.payload for one in frames if one.type == FrameType.TOKENS]


async def set_off(server: Server, bomb: Bomb) -> tuple[str, int]:
    """The code that answers a bomb, and by how much memory grew. The connection is closed behind the answer."""
    async with raw_client(server.url) as client:
        resting = server.memory_bytes("VmRSS")
        server.forget_peak()
        await bomb(client, server)
        frame = await client.read()
        grown = server.memory_bytes("VmHWM") - resting
        assert (frame.type, frame.stream) == (FrameType.ERROR, 0), frame
        assert await client.closed_with() in (1002, 1009)
        return str(frame.meta["code"]), grown


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_typed_error_takes_little_memory_and_harms_nobody(server: Server, name: str) -> None:
    bomb, codes = BOMBS[name]

    async def main() -> None:
        async with raw_client(server.url, device="innocent") as other:
            kind, before = await answered(other, server, 1)
            assert kind == FrameType.DONE
            for _ in range(3):
                code, grown = await set_off(server, bomb)
                assert code in codes
                assert grown < MOST_BYTES
            kind, after = await answered(other, server, 2)
            assert kind == FrameType.DONE
            assert b"".join(after) == b"".join(before)

    asyncio.run(main())
    assert server.process.poll() is None


def test_a_message_of_a_gigabyte_is_refused_by_its_header(server: Server) -> None:
    async def main() -> int:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = base64.b64encode(bytes(16)).decode()
        lines = ["GET " + ENDPOINT + " HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\xff" + struct.pack(">Q", 1 << 30) + bytes(4))
        sent, block = 0, bytes(1 << 16)
        try:
            while sent < 1 << 28:
                writer.write(block)
                await writer.drain()
                sent += len(block)
        except ConnectionError:
            pass
        finally:
            writer.close()
        return sent

    resting = server.memory_bytes("VmRSS")
    server.forget_peak()
    assert asyncio.run(main()) < 1 << 28
    assert server.memory_bytes("VmHWM") - resting < MOST_BYTES


def test_uploads_that_never_end_are_bounded_and_given_back(server: Server) -> None:
    """One client holds as much as it may: four turns of 4 MiB, none of which ends."""

    async def main() -> str:
        async with raw_client(server.url) as client:
            meta = server.picture().description() | {"bytes": 4 << 20}
            for stream in range(1, 5):
                await client.send(opening(tensor_ids=(f"{stream:064x}",)).to_frame(), stream)
                await client.send(Frame(FrameType.TENSOR_BEGIN, meta | {"tensor_id": f"{stream:064x}"}), stream)
                for _ in range((4 << 20) // 65536):
                    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=bytes(65536)), stream)
            await client.send(Frame(FrameType.CANCEL), 4)
            return str((await client.until_end(4))[-1].meta["code"])

    resting = server.memory_bytes("VmRSS")
    server.forget_peak()
    assert asyncio.run(main()) == "cancelled"
    assert server.memory_bytes("VmHWM") - resting < MOST_BYTES
