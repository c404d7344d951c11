"""Credit: an upload goes no further than it was granted, all uploads together are bounded, and lies are found."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cloud_stub.credit import SESSION_BYTES, Credit, UploadPool
from clouds import ENCODER, HIDDEN, FakeBackend, asked, opening, raw_client, request, running_cloud, until
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import EncodedTensor, find_codec
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.messages import Hello, TensorBegin, Welcome, uuid7
from edge_agent.types import Embeddings
from failing import failure
from scripted import scripted_cloud

WIDE = 2048


class Wide(FakeBackend):
    """Reads wide embeddings, so that a few of them are megabytes."""

    hidden_size = WIDE


def large(seed: int, tokens: int = 120) -> EncodedTensor:
    data = np.random.default_rng(seed).normal(size=(tokens, WIDE)).astype(np.float32)
    return find_codec("raw-f32").encode(Embeddings(data, ENCODER))


def test_a_turn_of_several_megabytes_goes_up_as_it_is_granted():
    async def main():
        tensors = tuple(large(n) for n in range(4))  # 3.9 MB
        async with running_cloud(Wide()) as cloud, CloudClient(cloud.url) as client:
            text, result = await asked(client, request(tensors=tensors))
            again = await asked(client, request("and now?", turn_id=uuid7(2), tensors=(large(9),)))
            return text, result, again, cloud.desk.uploads.held, client.connects

    text, result, again, held, connects = asyncio.run(main())
    assert text == again[0] == "w0 w1 w2"
    assert result.bytes_up > 3 * SESSION_BYTES
    assert (held, connects) == (0, 1)


async def greeted(client, *features: str) -> Welcome:
    await client.send(Hello(features=features).to_frame(), 0)
    frame = await client.read()
    client.numbering.session = frame.session
    return Welcome.from_frame(frame)


def test_who_sends_more_than_was_granted_is_told_so_and_the_session_ends():
    async def main():
        one = large(1, 500)  # 4.1 MB, of which 1 MiB may go before the first CREDIT
        async with running_cloud(Wide()) as cloud, raw_client(cloud.url, greet=False) as client:
            cloud.desk.uploads.held = 1 << 40  # no room, so no new credit
            welcome = await greeted(client, "credit")
            await client.send(opening([one]).to_frame())
            await client.send(TensorBegin.frame_of(one, one.tensor_id()))
            for at in range(0, SESSION_BYTES + 1, 65_536):
                await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload[at : at + 65_536]))
            frame = await client.read()
            return welcome.credit, frame, await client.closed_with()

    credit, frame, closed = asyncio.run(main())
    assert credit == SESSION_BYTES
    assert (frame.type, frame.meta["code"], closed) == (FrameType.ERROR, "too_large", 1002)


def test_who_knows_no_credit_is_held_back_by_the_limits_alone():
    async def main():
        tensors = [large(n) for n in range(4)]
        async with running_cloud(Wide()) as cloud, raw_client(cloud.url) as client:
            await client.send(opening(tensors).to_frame())
            for one in tensors:
                await client.send(TensorBegin.frame_of(one, one.tensor_id()))
                for at in range(0, len(one.payload), 65_536):
                    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload[at : at + 65_536]))
                await client.send(Frame(FrameType.TENSOR_END))
            return client.welcome.credit, {frame.type for frame in await client.until_end()}

    credit, kinds = asyncio.run(main())
    assert credit is None
    assert FrameType.CREDIT not in kinds
    assert FrameType.DONE in kinds


def test_a_cloud_without_room_makes_the_client_wait_until_there_is_some():
    async def main():
        async with running_cloud(Wide()) as cloud, CloudClient(cloud.url) as client:
            cloud.desk.uploads.take(1 << 30)
            task = asyncio.create_task(asked(client, request(tensors=tuple(large(n) for n in range(3)))))
            await until(lambda: cloud.desk.uploads._waiting)
            assert not task.done()
            cloud.desk.uploads.give_back(1 << 30)
            return (await task)[0]

    assert asyncio.run(main()) == "w0 w1 w2"


def test_a_cloud_that_grants_nothing_ends_in_a_timeout_by_the_deadline():
    async def main():
        async with running_cloud(Wide()) as cloud, CloudClient(cloud.url) as client:
            cloud.desk.uploads.take(1 << 30)
            await asked(client, request(tensors=tuple(large(n) for n in range(3)), deadline_ms=700))

    with pytest.raises(CloudError) as caught:
        asyncio.run(main())
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    "meta",
    [{"bytes": 0}, {"bytes": -5}, {"bytes": 2**40}, {"bytes": "all"}, {}],
    ids=["none", "less", "huge", "text", "?"],
)
def test_a_cloud_that_lies_about_credit_is_a_protocol_error(meta):
    async def script(peer):
        welcome = Welcome(1, "s", ("int8-zstd",), (ENCODER,), HIDDEN, features=("credit",), credit=1 << 20)
        await peer.welcome(welcome)
        await peer.question()
        await peer.send(Frame(FrameType.CREDIT, meta), 0)
        await peer.read()

    assert failure(scripted_cloud(script)).code == "protocol"


def test_a_cloud_that_grants_endlessly_counts_no_further_than_it_may():
    async def script(peer):
        welcome = Welcome(1, "s", ("int8-zstd",), (ENCODER,), HIDDEN, features=("credit",), credit=1)
        await peer.welcome(welcome)
        for _ in range(50):
            await peer.send(Frame(FrameType.CREDIT, {"bytes": 2**31}), 0)
        await peer.question()
        await peer.answer()
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return await asked(client, request())

    assert asyncio.run(main())[0] == "w0 w1"


def test_credit_comes_back_in_portions_and_only_while_there_is_room():
    granted: list[int] = []
    pool = UploadPool(most=1000)
    credit = Credit(pool, granted.append, window=400)
    for _ in range(3):
        credit.take(1, 60)
    assert (granted, credit.left) == ([120], 340)
    pool.take(2000)
    credit.take(1, 60)
    assert granted == [120]
    pool.give_back(2000)
    assert granted == [120, 120]
    credit.end(1)
    credit.end(1)
    assert pool.held == 0
    with pytest.raises(FrameError):
        credit.take(2, 401)


def test_a_cloud_that_says_goodbye_or_something_new_during_an_upload_still_gets_all_of_it():
    async def script(peer):
        await peer.welcome(Welcome(1, "s", ("raw-f32",), (ENCODER,), WIDE))
        await peer.read()
        await peer.send(Frame(FrameType.GOAWAY, {"code": "draining", "drain_s": 5.0}), 0)
        await peer.send(Frame(0x7E, flags=0x80))
        ended = 0
        while ended < 4:
            ended += (await peer.read()).type == FrameType.TENSOR_END
        await peer.answer()
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return await asked(client, request(tensors=tuple(large(n) for n in range(4))))

    assert asyncio.run(main())[0] == "w0 w1"
