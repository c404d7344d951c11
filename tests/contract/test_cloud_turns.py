"""What client and cloud promise each other when both behave: answers, bytes, times, and what the engine reads."""

from __future__ import annotations

import asyncio

import aiohttp
import numpy as np
import pytest

from clouds import ENCODER, HIDDEN, FakeBackend, asked, request, running_cloud, until
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient, TurnResult
from edge_agent.transport.codecs import find_codec
from edge_agent.transport.frames import Frame
from edge_agent.transport.limits import Limits
from edge_agent.types import Decision, Embeddings, Generation, Route, TokenEvent, Turn
from scripted import scripted_cloud


def test_a_turn_streams_its_tokens_and_ends_with_one_result():
    async def main():
        async with running_cloud(FakeBackend(words=3)) as cloud, CloudClient(cloud.url) as client:
            return await asked(client, request(max_tokens=8))

    text, result = asyncio.run(main())
    assert text == "w0 w1 w2"
    assert (result.tokens, result.finish_reason, result.confidence, result.max_entropy) == (3, "length", 0.75, 0.25)
    assert result.prompt_tokens == 7


def test_the_cloud_computes_on_what_the_device_sent():
    data = np.random.default_rng(5).normal(size=(4, HIDDEN)).astype(np.float32)
    sent = find_codec("int8-zstd").encode(Embeddings(data, ENCODER))
    backend = FakeBackend()

    async def main():
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            await asked(client, request("colour?", tensors=(sent,), history=(Turn("a?", "b"),)))

    asyncio.run(main())
    (prompt,) = backend.prompts
    assert prompt.question == "colour?"
    assert prompt.history == (Turn("a?", "b"),)
    step = np.abs(data).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(prompt.embeddings[0].data - data) <= step * 0.5001)


def test_a_tensor_larger_than_a_chunk_arrives_whole():
    backend = FakeBackend()
    backend.hidden_size = 2048
    data = np.random.default_rng(1).normal(size=(100, 2048)).astype(np.float32)
    sent = find_codec("raw-f32").encode(Embeddings(data, ENCODER))
    assert len(sent.payload) > 12 * Limits().chunk_bytes

    async def main():
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            await asked(client, request(tensors=(sent,)))

    asyncio.run(main())
    assert np.array_equal(backend.prompts[0].embeddings[0].data, data)


def test_bytes_are_those_of_the_frames_on_the_wire():
    totals = []

    async def script(peer):
        await peer.welcome()
        for stream in (1, 2):
            await peer.question()
            await peer.answer(stream=stream)
            totals.append((peer.received, peer.sent))
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return [(await asked(client, request()))[1] for _ in range(2)]

    first, second = asyncio.run(main())
    assert (first.bytes_up, first.bytes_down) == totals[0]
    assert (first.bytes_up + second.bytes_up, first.bytes_down + second.bytes_down) == totals[1]


def test_the_three_times_are_not_negative_and_add_up():
    async def main():
        loop = asyncio.get_running_loop()
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            started_s = loop.time()
            _, result = await asked(client, request())
            return result, (loop.time() - started_s) * 1000

    result, passed_ms = asyncio.run(main())
    parts = (result.upload_ms, result.first_token_ms, result.decode_ms)
    assert min(parts) >= 0
    assert sum(parts) <= passed_ms


def test_turns_share_one_connection():
    async def main():
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            for _ in range(3):
                await asked(client, request())
            return client.connects

    assert asyncio.run(main()) == 1


def test_a_connection_that_died_while_idle_is_replaced_unseen():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.answer()
        await peer.socket.close()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            texts = [(await asked(client, request()))[0] for _ in range(3)]
            return texts, client.connects

    assert asyncio.run(main()) == (["w0 w1"] * 3, 3)


def test_nothing_is_opened_before_the_first_turn():
    async def main():
        made = []

        def session():
            made.append(aiohttp.ClientSession())
            return made[-1]

        client = CloudClient("http://127.0.0.1:1", session_factory=session)
        await client.close()
        return made, client.connects

    assert asyncio.run(main()) == ([], 0)


def test_the_engine_ends_with_one_generation_that_knows_its_bytes():
    async def main():
        clock = SystemClock()
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            engine = CloudEngine(client, clock)
            data = np.ones((4, HIDDEN), dtype=np.float32)
            query = Query("what?", (Embeddings(data, ENCODER),), deadline_s=clock.monotonic_s() + 10)
            return [item async for item in engine.generate(query, Decision(Route.CLOUD, "test", "test"))]

    *tokens, last = asyncio.run(main())
    assert [type(item) for item in tokens] == [TokenEvent] * 3
    assert isinstance(last, Generation)
    assert (last.text, last.tokens, last.confidence) == ("w0 w1 w2", 3, 0.75)
    assert last.bytes_up > 300
    assert last.bytes_down > 300


def test_the_engine_refuses_a_deadline_that_passed_without_connecting():
    async def main():
        clock = SystemClock()
        client = CloudClient("http://127.0.0.1:1")
        engine = CloudEngine(client, clock)
        with pytest.raises(CloudError) as caught:
            async for _ in engine.generate(
                Query("what?", (), deadline_s=clock.monotonic_s() - 1), Decision(Route.CLOUD, "test", "test")
            ):
                pass
        await engine.close()
        return caught.value.code, client.connects

    assert asyncio.run(main()) == ("timeout", 0)


def test_a_draining_cloud_lets_the_running_turn_end_and_takes_no_other():
    backend = FakeBackend(stop_before=1)

    async def main():
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            running = asyncio.create_task(asked(client, request()))
            await until(lambda: backend.prompts)
            draining = asyncio.create_task(cloud.app.drain(10.0))
            await until(lambda: cloud.app.draining)
            async with CloudClient(cloud.url) as other:
                with pytest.raises(CloudError) as caught:
                    await asked(other, request())
            backend.gate.set()
            await draining
            return await running, caught.value

    (text, result), error = asyncio.run(main())
    assert text == "w0 w1 w2"
    assert isinstance(result, TurnResult)
    assert (error.code, error.retryable) == ("overloaded", True)


def test_an_optional_unknown_frame_is_skipped():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(Frame(0x7F, flags=0x80))
        await peer.answer()
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return await asked(client, request())

    assert asyncio.run(main())[0] == "w0 w1"
