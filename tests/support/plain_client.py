"""A client of EAP/1 written from docs/protocol.md alone: the standard library and aiohttp's WebSocket, nothing of ours.

python plain_client.py URL "question" < picture.json      {"rows": [[hidden floats], ...], "encoder_id": "..."}
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import struct
import sys
import time
import zlib

import aiohttp

HELLO, WELCOME, TURN, BEGIN, CHUNK, END = 0x01, 0x02, 0x10, 0x11, 0x12, 0x13
TOKENS, USAGE, DONE, ERROR, BYE = 0x20, 0x21, 0x22, 0x41, 0x43
NAMES = {TOKENS: "TOKENS", USAGE: "USAGE", DONE: "DONE", ERROR: "ERROR"}


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_frame(kind, meta, payload, session, stream, seq):
    body = canonical(meta) if meta else b""
    head = struct.pack("<4sBBHQIIII", b"EAP1", kind, 0, 1, session, stream, seq, len(body), len(payload))
    crc = zlib.crc32(head + body + payload)
    return head + struct.pack("<I", crc) + body + payload


def read_frame(data):
    head = struct.unpack_from("<4sBBHQIIIII", data)
    magic, kind, flags, schema, session, stream, seq, meta_len, payload_len, crc = head
    assert (magic, len(data)) == (b"EAP1", 36 + meta_len + payload_len)
    assert schema >= 1, flags
    assert crc == zlib.crc32(data[36:], zlib.crc32(data[:32])), "checksum"
    meta = json.loads(data[36 : 36 + meta_len]) if meta_len else {}
    return kind, session, stream, seq, meta, data[36 + meta_len :]


def tensor_of(rows, encoder_id):
    """The description with its id, and the body, of embeddings [tokens, hidden] in the codec raw-f32."""
    described = {"modality": "image", "encoder_id": encoder_id, "codec": "raw-f32", "dtype": "float32"}
    described |= {"shape": [len(rows), len(rows[0])], "config": {}}
    body = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    tensor_id = hashlib.sha256(canonical(described) + b"\n" + body).hexdigest()
    return described | {"tensor_id": tensor_id, "bytes": len(body)}, body


def uuid7():
    value = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    digits = f"{value & ~(3 << 62) | 2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def tokens_of(payload):
    at, texts = 0, []
    while at < len(payload):
        _token, _probability, _entropy, size = struct.unpack_from("<IffH", payload, at)
        texts.append(payload[at + 14 : at + 14 + size].decode())
        at += 14 + size
    return texts


class Session:
    """One connection. Frames are numbered for each stream and direction."""

    def __init__(self, socket):
        self.socket, self.session, self.sent, self.stream = socket, 0, {}, 0

    async def send(self, kind, stream, meta=None, payload=b""):
        seq = self.sent.get(stream, 0)
        self.sent[stream] = seq + 1
        await self.socket.send_bytes(write_frame(kind, meta or {}, payload, self.session, stream, seq))

    async def receive(self):
        message = await self.socket.receive()
        assert message.type == aiohttp.WSMsgType.BINARY, message
        return read_frame(message.data)

    async def greet(self):
        await self.send(HELLO, 0, {"versions": [1], "codecs": ["raw-f32"], "device": "plain", "schema": 1})
        kind, self.session, _, _, meta, _ = await self.receive()
        assert kind == WELCOME, (kind, meta)
        return meta

    async def ask(self, question, rows, encoder_id, history=()):
        """The answer's text, its USAGE and its DONE."""
        self.stream += 1
        described, body = tensor_of(rows, encoder_id)
        messages = [*history, {"role": "user", "content": question}]
        budget = {"deadline_ms": 30_000, "max_tokens": 16}
        turn = {"turn_id": uuid7(), "tensors": [described["tensor_id"]], "budget": budget}
        await self.send(TURN, self.stream, turn, canonical(messages))
        await self.send(BEGIN, self.stream, described)
        for at in range(0, len(body), 65_536):
            await self.send(CHUNK, self.stream, payload=body[at : at + 65_536])
        await self.send(END, self.stream)
        texts, usage = [], {}
        while True:
            kind, _, stream, _, meta, payload = await self.receive()
            if stream != self.stream:
                continue
            if kind == ERROR:
                raise RuntimeError(f"{meta['code']}: {meta['message']}")
            if kind == TOKENS:
                assert meta["first"] == len(texts)
                texts += tokens_of(payload)
                assert meta["first"] + meta["n"] == len(texts)
            elif kind == USAGE:
                usage = meta
            elif kind == DONE:
                assert meta["tokens"] == len(texts)
                return "".join(texts).strip(), usage, meta


async def main(url, given, question):
    headers = {"Authorization": f"Bearer {os.environ['EAP_TOKEN']}"} if "EAP_TOKEN" in os.environ else {}
    wanted = {"protocols": ("eap.v1",), "headers": headers, "heartbeat": 15}
    async with aiohttp.ClientSession() as http, http.ws_connect(url + "/eap/v1/ws", **wanted) as socket:
        session = Session(socket)
        welcome = await session.greet()
        text, usage, done = await session.ask(question, given["rows"], given["encoder_id"])
        history = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
        again, _, _ = await session.ask(question, given["rows"], given["encoder_id"], history)
        await session.send(BYE, 0)
    print(json.dumps({"model": welcome["model"], "answer": text, "again": again, "usage": usage, "done": done}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.load(sys.stdin), sys.argv[2]))
