"""One turn by POST, its answer as events: the same frames, the same limits, the same bill as over a WebSocket."""

from __future__ import annotations

import asyncio
import base64

import aiohttp
import pytest

from cloud_stub.turns import Prices
from clouds import FakeBackend, opening, raw_client, running_cloud, tensor, until
from edge_agent.transport.frames import POST_ENDPOINT, Frame, FrameType, decode_frame, encode_frame
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening
from edge_agent.transport.numbering import Numbering


def body(turn: TurnOpening | None = None, *, device: str = "") -> bytes:
    one, numbering = tensor(), Numbering()
    frames = [
        (Hello(device=device).to_frame(), 0),
        ((turn or opening([one])).to_frame(), 1),
        (TensorBegin.frame_of(one, one.tensor_id()), 1),
        (Frame(FrameType.TENSOR_CHUNK, payload=one.payload), 1),
        (Frame(FrameType.TENSOR_END), 1),
    ]
    return b"".join(encode_frame(numbering.stamp(frame, stream)) for frame, stream in frames)


async def post(url: str, data: object, **headers: str) -> tuple[int, str, list[Frame]]:
    async with aiohttp.ClientSession() as session, session.post(url + POST_ENDPOINT, data=data, headers=headers) as got:
        raw = await got.read()
        events = [line[6:] for line in raw.split(b"\n\n") if line.startswith(b"data: ")]
        return got.status, got.content_type, [decode_frame(base64.b64decode(event)) for event in events]


def test_a_turn_by_post_is_answered_as_events():
    async def main():
        async with running_cloud(FakeBackend(words=3)) as cloud:
            return await post(cloud.url, body())

    status, kind, frames = asyncio.run(main())
    assert (status, kind) == (200, "text/event-stream")
    assert [frames[0].type, frames[-2].type, frames[-1].type] == [FrameType.WELCOME, FrameType.USAGE, FrameType.DONE]
    assert {frame.session for frame in frames} == {0}
    assert [frame.seq for frame in frames if frame.stream == 1] == list(range(len(frames) - 1))
    assert frames[-1].meta["tokens"] == 3


def test_a_turn_asked_by_both_ways_is_computed_and_billed_once():
    async def main():
        turn = opening([tensor()])
        async with running_cloud(FakeBackend(), prices=Prices(1000, 1000)) as cloud, raw_client(cloud.url) as client:
            await client.ask(turn, [tensor()])
            await client.until_end()
            _, _, frames = await post(cloud.url, body(turn))
            return frames, cloud.desk.computed

    frames, computed = asyncio.run(main())
    assert frames[-2].meta["replayed"] is True
    assert computed == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (body()[:-1], "protocol"),
        (body()[:200], "protocol"),
        (b"EAP2" + body()[4:], "protocol"),
        (body()[:-1] + b"!", "protocol"),
        (b"\x00" * 100, "protocol"),
        (b"EAP1" + b"\x00" * 20 + b"\xff" * 12, "too_large"),
        (body() + b"EAP1", "protocol"),
    ],
    ids=["cut", "cut early", "magic", "crc", "zeros", "huge", "left over"],
)
def test_a_broken_body_is_answered_with_an_error_frame(data, code):
    async def main():
        async with running_cloud(FakeBackend(stop_before=0)) as cloud:
            found = await post(cloud.url, data)
            await until(lambda: not cloud.app._reception.count)
            return found

    _, _, frames = asyncio.run(main())
    assert (frames[-1].type, frames[-1].meta["code"]) == (FrameType.ERROR, code)


def test_an_empty_body_is_a_bad_request():
    async def main():
        async with running_cloud() as cloud:
            return await post(cloud.url, b"")

    status, _, frames = asyncio.run(main())
    assert (status, frames) == (400, [])


def test_a_body_without_a_turn_is_welcomed_and_that_is_all():
    async def main():
        hello = encode_frame(Numbering().stamp(Hello().to_frame()))
        async with running_cloud() as cloud:
            found = await post(cloud.url, hello)
            await until(lambda: not cloud.app._reception.count)
            return found

    status, _, frames = asyncio.run(main())
    assert (status, [frame.type for frame in frames]) == (200, [FrameType.WELCOME])


def test_a_post_needs_the_token_and_no_page_may_send_one():
    async def main():
        async with running_cloud(token="secret") as cloud:
            none = await post(cloud.url, body())
            wrong = await post(cloud.url, body(), Authorization="Bearer wrong")
            page = await post(cloud.url, body(), Authorization="Bearer secret", Origin="http://evil.example")
            right = await post(cloud.url, body(), Authorization="Bearer secret")
            return none[0], wrong[0], page[0], right[0]

    assert asyncio.run(main()) == (401, 401, 403, 200)


def test_an_agent_that_posts_has_no_part_in_the_session_of_another():
    async def main():
        async with running_cloud() as cloud:
            await post(cloud.url, body(device="a"))
            turn = opening([tensor()])
            frame = turn.to_frame()
            numbering = Numbering()
            hello = Hello(device="a", features=("have", "base", "resume")).to_frame()
            held = Frame(frame.type, {**frame.meta, "held": list(turn.tensors)}, frame.payload)
            data = b"".join(encode_frame(numbering.stamp(one, n)) for n, one in enumerate((hello, held)))
            _, _, frames = await post(cloud.url, data)
            return frames

    welcome, error = asyncio.run(main())
    assert "resume" not in welcome.meta["features"]
    assert error.meta["code"] == "forgotten"
