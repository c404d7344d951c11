"""What the server does with strange, greedy or hostile clients: typed errors, closed sessions, others unharmed."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib

import aiohttp
import pytest

from cloud_stub.link import WebSocketLink
from cloud_stub.reception import Reception
from cloud_stub.turns import TurnDesk
from clouds import ENCODER, HIDDEN, FakeBackend, asked, opening, raw_client, request, running_cloud, tensor, until
from edge_agent.transport.client import CloudClient
from edge_agent.transport.frames import (
    ENDPOINT,
    SUBPROTOCOL,
    Frame,
    FrameType,
    canonical_json,
    decode_frame,
    encode_frame,
)
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening
from edge_agent.transport.numbering import Numbering


def talk(script, backend=None, **options):
    """Run `script(client, cloud)` against a server; then show that it still serves others and holds no place."""

    async def main():
        async with running_cloud(backend, **options) as cloud:
            async with raw_client(cloud.url) as client:
                result = await script(client, cloud)
            await until(lambda: cloud.desk.in_flight == 0)
            if cloud.desk.backend.stop_before is None:
                async with CloudClient(cloud.url) as other:
                    assert (await asked(other, request()))[0] == "w0 w1 w2"
            return result

    return asyncio.run(main())


async def session_error(client) -> tuple[str, int | None]:
    """The code of the ERROR on stream 0, and what the socket was closed with."""
    frame = await client.read()
    while frame.stream != 0:
        frame = await client.read()
    assert frame.type == FrameType.ERROR
    return frame.meta["code"], await client.closed_with()


def changed(opening: TurnOpening, **meta: object) -> Frame:
    frame = opening.to_frame()
    return dataclasses.replace(frame, meta={**frame.meta, **meta})


def test_welcome_announces_model_encoders_codecs_and_limits():
    async def script(client, cloud):
        return client.welcome

    welcome = talk(script)
    assert (welcome.version, welcome.model, welcome.encoder_ids, welcome.hidden_size) == (1, "fake", (ENCODER,), HIDDEN)
    assert {"int4-zstd", "int8-zstd", "raw-f32"} <= set(welcome.codecs)
    assert welcome.limits == Limits()


def test_frames_of_an_answer_come_in_order_with_their_numbers():
    async def script(client, cloud):
        one = tensor()
        await client.ask(opening([one]), [one])
        return await client.until_end()

    frames = talk(script)
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert {frame.stream for frame in frames} == {1}
    assert [frame.name for frame in frames[-2:]] == ["USAGE", "DONE"]
    assert {frame.name for frame in frames[:-2]} == {"TOKENS"}


def test_turns_on_one_connection_are_answered_each_on_its_stream():
    async def script(client, cloud):
        for stream in (1, 2, 5):
            await client.ask(opening(), stream=stream)
        ended = set()
        while len(ended) < 3:
            frame = await client.read()
            if frame.type == FrameType.DONE:
                ended.add(frame.stream)
        return ended

    assert talk(script) == {1, 2, 5}


def test_a_fifth_turn_at_once_is_overloaded_and_the_others_go_on():
    backend = FakeBackend(stop_before=0)

    async def script(client, cloud):
        for stream in range(1, 6):
            await client.ask(opening(), stream=stream)
        (frame,) = await client.until_end(5)
        backend.gate.set()
        await client.until_end(4)
        return frame

    frame = talk(script, backend)
    assert (frame.type, frame.meta["code"], frame.meta["retryable"]) == (FrameType.ERROR, "overloaded", True)
    assert frame.meta["retry_after_ms"] > 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"encoder_id": "other"}, "unknown_encoder"),
        ({"codec": "jpeg"}, "unknown_codec"),
        ({"shape": [4, 16]}, "bad_tensor"),
        ({"shape": [4]}, "bad_tensor"),
        ({"shape": [5, HIDDEN]}, "bad_tensor"),
        ({"modality": "smell"}, "bad_tensor"),
        ({"dtype": "float32"}, "bad_tensor"),
        ({"config": {"level": 3}}, "bad_tensor"),
    ],
)
def test_a_tensor_that_does_not_fit_ends_the_turn_but_not_the_session(change, code):
    async def script(client, cloud):
        one = tensor()
        described = one.description() | change
        name = hashlib.sha256(canonical_json(described) + b"\n" + one.payload).hexdigest()
        begin = Frame(FrameType.TENSOR_BEGIN, described | {"tensor_id": name, "bytes": len(one.payload)})
        await client.send(opening(tensor_ids=(name,)).to_frame())
        await client.send(begin)
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload))
        await client.send(Frame(FrameType.TENSOR_END))
        frames = await client.until_end()
        await client.ask(opening(), stream=2)
        again = await client.until_end(2)
        return frames[-1].meta["code"], again[-1].type

    assert talk(script) == (code, FrameType.DONE)


def test_a_tensor_with_another_content_than_its_name_is_refused():
    async def script(client, cloud):
        one, two = tensor(seed=1), tensor(seed=2)
        assert len(one.payload) == len(two.payload)
        await client.send(opening([one]).to_frame())
        await client.send(TensorBegin.frame_of(one, one.tensor_id()))
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=two.payload))
        await client.send(Frame(FrameType.TENSOR_END))
        return (await client.until_end())[-1].meta["code"]

    assert talk(script) == "bad_tensor"


@pytest.mark.parametrize(
    ("frames", "code", "close"),
    [
        ([Frame(FrameType.TENSOR_CHUNK, payload=b"x")], "protocol", 1002),
        ([opening([tensor()]).to_frame(), Frame(FrameType.TENSOR_END)], "protocol", 1002),
        ([opening([tensor()]).to_frame(), Frame(FrameType.TURN)], "protocol", 1002),
        ([changed(opening(), turn_id="1")], "protocol", 1002),
        ([changed(opening(), budget={"deadline_ms": 0, "max_tokens": 1})], "protocol", 1002),
        ([changed(opening(), budget={"deadline_ms": 1000, "max_tokens": 10**6})], "protocol", 1002),
        ([changed(opening(), tensors=["../../etc/passwd"])], "protocol", 1002),
        ([changed(opening(), tensors=[f"{i:064x}" for i in range(9)])], "too_large", 1002),
        ([Frame(FrameType.TURN, opening().to_frame().meta, b"[]")], "protocol", 1002),
        ([Frame(FrameType.TURN, opening().to_frame().meta, b"x" * 20_000)], "too_large", 1002),
        ([Frame(FrameType.WELCOME)], "protocol", 1002),
        ([Frame(FrameType.RESUME)], "protocol", 1002),
        ([Frame(FrameType.DRAFT)], "protocol", 1002),
        ([Frame(0x7F)], "protocol", 1002),
        ([Frame(FrameType.HELLO)], "protocol", 1002),
    ],
)
def test_frames_out_of_place_close_the_session_with_a_reason(frames, code, close):
    async def script(client, cloud):
        for frame in frames:
            await client.send(frame)
        return await session_error(client)

    assert talk(script) == (code, close)


def bomb(**changes: object) -> Frame:
    one = tensor()
    begin = TensorBegin.frame_of(one, one.tensor_id())
    return dataclasses.replace(begin, meta={**begin.meta, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2**31 - 1, HIDDEN]},
        {"shape": [0, HIDDEN]},
        {"shape": [4096, 8192]},
        {"bytes": 5 * 2**20},
        {"config": {"a": "x" * 2000}},
    ],
)
def test_a_declared_size_over_the_limits_closes_the_session_before_a_chunk_is_taken(change):
    async def script(client, cloud):
        await client.send(opening([tensor()]).to_frame())
        await client.send(bomb(**change))
        return await session_error(client)

    code, close = talk(script)
    assert code in ("too_large", "protocol")
    assert close == 1002


def test_a_tensor_longer_than_declared_is_refused():
    async def script(client, cloud):
        one = tensor()
        await client.send(opening([one]).to_frame())
        await client.send(TensorBegin.frame_of(one, one.tensor_id()))
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload + b"x"))
        return (await client.until_end())[-1].meta["code"]

    assert talk(script) == "bad_tensor"


def test_a_chunk_over_64_kib_closes_the_session():
    async def script(client, cloud):
        one = tensor()
        await client.send(opening([one]).to_frame())
        await client.send(bomb(bytes=100_000))
        await client.send(Frame(FrameType.TENSOR_CHUNK, payload=b"x" * 65_537))
        return (await session_error(client))[0]

    assert talk(script) == "too_large"


def test_an_unknown_frame_with_the_optional_flag_is_skipped():
    async def script(client, cloud):
        await client.send(Frame(0x7F, flags=0x80))
        await client.send(Frame(0x7E, flags=0x80), 0)
        await client.ask(opening())
        return (await client.until_end())[-1].type

    assert talk(script) == FrameType.DONE


def test_text_messages_close_the_session_with_1003():
    async def script(client, cloud):
        await client.socket.send_str("hello")
        return await session_error(client)

    assert talk(script) == ("protocol", 1003)


def test_a_message_over_the_frame_limit_closes_the_session_with_1009():
    async def script(client, cloud):
        await client.socket.send_bytes(b"EAP1" + b"\x00" * 300_000)
        return await client.closed_with()

    assert talk(script) == 1009


def test_a_frame_with_a_wrong_number_closes_the_session():
    async def script(client, cloud):
        frame = dataclasses.replace(opening().to_frame(), session=client.numbering.session, stream=1, seq=3)
        await client.socket.send_bytes(encode_frame(frame))
        return await session_error(client)

    assert talk(script) == ("protocol", 1002)


def test_a_frame_of_another_session_closes_this_one():
    async def script(client, cloud):
        client.numbering.session ^= 1 << 40
        await client.send(opening().to_frame())
        return await session_error(client)

    assert talk(script) == ("protocol", 1002)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (Hello(versions=(2, 3)).to_frame(), "version"),
        (opening().to_frame(), "protocol"),
        (Frame(FrameType.BYE), "protocol"),
    ],
)
def test_a_session_begins_with_hello_in_a_known_version(hello, code):
    async def main():
        async with running_cloud() as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(hello, 0)
            return (await session_error(client))[0]

    assert asyncio.run(main()) == code


def test_cancel_ends_the_turn_within_one_token_and_the_session_goes_on():
    backend = FakeBackend(words=1000, stop_before=2)

    async def script(client, cloud):
        await client.ask(opening(max_tokens=500))
        while (await client.read()).type != FrameType.TOKENS:
            pass
        await client.send(Frame(FrameType.CANCEL))
        ending = (await client.until_end())[-1]
        await asyncio.to_thread(backend.stopped.wait, 10)
        made = backend.made
        backend.gate.set()
        await client.ask(opening(max_tokens=1), stream=2)
        assert made <= 2
        return ending.meta["code"], (await client.until_end(2))[-1].type

    assert talk(script, backend) == ("cancelled", FrameType.DONE)


@pytest.mark.parametrize("words", [1, 2, 3])
def test_the_error_that_ends_a_cancelled_turn_carries_the_next_number(words):
    backend = FakeBackend(words=1000, stop_before=words)

    async def script(client, cloud):
        await client.ask(opening(max_tokens=500))
        frames = [await client.read()]
        while sum(frame.meta["n"] for frame in frames) < words:
            frames.append(await client.read())
        await client.send(Frame(FrameType.CANCEL))
        return frames + await client.until_end()

    frames = talk(script, backend)
    assert [frame.name for frame in frames] == ["TOKENS"] * (len(frames) - 1) + ["ERROR"]
    assert [frame.seq for frame in frames] == list(range(len(frames)))


def test_the_error_that_ends_a_broken_upload_carries_the_next_number_on_its_stream():
    async def script(client, cloud):
        one = tensor()
        await client.send(opening([one]).to_frame())
        await client.send(TensorBegin.frame_of(one, one.tensor_id()))
        await client.send(Frame(FrameType.TENSOR_END))
        await client.ask(opening(), stream=2)
        return [await client.read(), *await client.until_end(2)]

    error, *others = talk(script)
    assert (error.type, error.stream, error.seq) == (FrameType.ERROR, 1, 0)
    assert [frame.seq for frame in others] == list(range(len(others)))


class SlowWire:
    """A WebSocket whose other end sends CANCEL the moment that it reads DONE, which the server is still sending."""

    def __init__(self, numbering: Numbering) -> None:
        self.numbering = numbering
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[Frame] = []

    def write(self, frame: Frame, stream: int) -> None:
        self.incoming.put_nowait(encode_frame(self.numbering.stamp(frame, stream)))

    async def receive(self) -> aiohttp.WSMessage:
        return aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, await self.incoming.get(), None)

    async def send_bytes(self, data: bytes) -> None:
        frame = decode_frame(data)
        self.sent.append(frame)
        if frame.type == FrameType.WELCOME:
            self.numbering.session = frame.session
            self.write(opening().to_frame(), 1)
        if frame.type == FrameType.DONE:
            self.write(Frame(FrameType.CANCEL), 1)
            self.write(Frame(FrameType.BYE), 0)
        for _ in range(20):
            await asyncio.sleep(0)

    async def close(self, **_: object) -> None:
        return


def test_cancel_that_comes_while_done_is_sent_does_not_end_the_turn_twice():
    async def main():
        wire, desk = SlowWire(Numbering()), TurnDesk(FakeBackend())
        wire.write(Hello().to_frame(), 0)
        await Reception(desk, 15, 8).receive(WebSocketLink(wire), "nobody")
        await desk.close()
        return [(frame.name, frame.stream) for frame in wire.sent]

    frames = asyncio.run(main())
    assert frames[0] == ("WELCOME", 0)
    assert frames[-2:] == [("USAGE", 1), ("DONE", 1)]


def test_cancel_right_behind_turn_gives_its_place_back():
    async def script(client, cloud):
        for stream in range(1, 40):
            await client.send(opening([tensor()]).to_frame(), stream)
            await client.send(Frame(FrameType.CANCEL), stream)
            assert (await client.until_end(stream))[-1].meta["code"] == "cancelled"

    talk(script, max_in_flight=2)


def test_cancel_of_a_turn_that_is_over_is_ignored():
    async def script(client, cloud):
        await client.ask(opening())
        await client.until_end()
        await client.send(Frame(FrameType.CANCEL))
        await client.ask(opening(), stream=2)
        return (await client.until_end(2))[-1].type

    assert talk(script) == FrameType.DONE


def test_an_upload_that_never_ends_is_over_by_its_deadline():
    async def script(client, cloud):
        await client.send(opening([tensor()], deadline_ms=100).to_frame())
        return (await client.until_end())[-1].meta["code"]

    assert talk(script) == "timeout"


def test_draining_says_goaway_then_closes_with_1001():
    async def script(client, cloud):
        asyncio.get_running_loop().create_task(cloud.app.drain(1.0))
        frame = await client.read()
        return frame.name, frame.stream, await client.closed_with()

    async def main():
        async with running_cloud() as cloud, raw_client(cloud.url) as client:
            return await script(client, cloud)

    assert asyncio.run(main()) == ("GOAWAY", 0, 1001)


async def upgrade(url: str, *, protocols=(SUBPROTOCOL,), **headers: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(url + ENDPOINT, protocols=protocols, headers=headers)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        await socket.close()
        return 101


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "right"}, 401),
        ({"Authorization": "Bearer right"}, 101),
    ],
)
def test_a_token_is_asked_for_before_the_upgrade(header, status):
    async def main():
        async with running_cloud(token="right") as cloud:
            return await upgrade(cloud.url, **header)

    assert asyncio.run(main()) == status


def test_a_web_page_may_not_open_a_session():
    async def main():
        async with running_cloud() as cloud:
            return await upgrade(cloud.url, Origin="http://evil.example")

    assert asyncio.run(main()) == 403


def test_another_subprotocol_is_refused_before_the_upgrade():
    async def main():
        async with running_cloud() as cloud:
            return await upgrade(cloud.url, protocols=("eap.v9",))

    assert asyncio.run(main()) == 400


def test_more_sessions_than_allowed_get_503():
    async def main():
        async with running_cloud(max_sessions=1) as cloud:
            async with raw_client(cloud.url):
                refused = await upgrade(cloud.url)
            await until(lambda: not cloud.app._reception.count)
            return refused, await upgrade(cloud.url)

    assert asyncio.run(main()) == (503, 101)


def test_permessage_deflate_is_not_agreed_to():
    async def main():
        async with running_cloud() as cloud, aiohttp.ClientSession() as session:
            socket = await session.ws_connect(cloud.url + ENDPOINT, protocols=(SUBPROTOCOL,), compress=15)
            compress = socket.compress
            await socket.close()
            return compress

    assert asyncio.run(main()) == 0


def test_health_tells_model_turns_and_readiness():
    async def get(session, url):
        async with session.get(url) as response:
            return response.status, await response.json()

    async def main():
        async with running_cloud() as cloud, CloudClient(cloud.url) as client, aiohttp.ClientSession() as session:
            await asked(client, request())
            health = await get(session, cloud.url + "/healthz")
            ready = await get(session, cloud.url + "/readyz")
            await cloud.app.drain(0.1)
            return health, ready, await get(session, cloud.url + "/readyz")

    (status, health), ready, draining = asyncio.run(main())
    assert status == 200
    assert (health["status"], health["model"], health["encoder_ids"], health["turns"]) == ("live", "fake", [ENCODER], 1)
    assert health["uptime_s"] >= 0
    assert (ready[0], draining[0]) == (200, 503)
