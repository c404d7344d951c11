"""What client and cloud promise each other when both behave: answers, bytes, money, replays, cancellation."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import numpy as np
import pytest

from cloud_stub.turns import Prices
from clouds import (
    ENCODER,
    HIDDEN,
    FakeBackend,
    asked,
    opening,
    raw_client,
    request,
    running_cloud,
    scripted_cloud,
    tensor,
    until,
)
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient, TurnResult
from edge_agent.transport.codecs import find_codec
from edge_agent.transport.frames import Frame, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import uuid7
from edge_agent.types import Decision, Embeddings, Generation, Route, TokenEvent, Turn


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


def test_a_replayed_turn_gives_the_same_text_and_is_neither_computed_nor_billed_again():
    backend = FakeBackend()

    async def main():
        async with running_cloud(backend, prices=Prices(1000, 2000)) as cloud, CloudClient(cloud.url) as client:
            turn = request()
            answers = [await asked(client, turn) for _ in range(4)]
            return answers, cloud.desk.billed_microusd

    answers, billed = asyncio.run(main())
    assert {text for text, _ in answers} == {"w0 w1 w2"}
    assert [result.replayed for _, result in answers] == [False, True, True, True]
    assert len(backend.prompts) == 1
    assert billed == round(answers[0][1].cost_usd * 1e6) == 7 + 3 * 2


def test_two_devices_with_one_turn_id_do_not_see_each_others_answers():
    backend = FakeBackend()

    async def main():
        async with running_cloud(backend) as cloud:
            turn = request()
            for device in ("a", "b"):
                async with CloudClient(cloud.url, device=device) as client:
                    await asked(client, turn)

    asyncio.run(main())
    assert len(backend.prompts) == 2


def test_a_turn_id_used_for_another_question_is_refused():
    async def main():
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            turn_id = uuid7(1)
            await asked(client, request("one", turn_id=turn_id))
            with pytest.raises(CloudError) as caught:
                await asked(client, request("two", turn_id=turn_id))
            return caught.value.code

    assert asyncio.run(main()) == "bad_request"


def test_a_stored_result_is_forgotten_after_ten_minutes():
    backend, now = FakeBackend(), [0.0]

    async def main():
        async with running_cloud(backend, monotonic_s=lambda: now[0]) as cloud, CloudClient(cloud.url) as client:
            turn = request()
            await asked(client, turn)
            now[0] = 599.0
            await asked(client, turn)
            assert len(backend.prompts) == 1
            now[0] = 601.0
            await asked(client, turn)

    asyncio.run(main())
    assert len(backend.prompts) == 2


def test_a_replay_while_the_first_still_runs_joins_it():
    backend = FakeBackend(words=3, stop_before=1)

    async def main():
        async with (
            running_cloud(backend) as cloud,
            CloudClient(cloud.url) as one,
            CloudClient(cloud.url) as two,
        ):
            turn = request()
            tasks = [asyncio.create_task(asked(client, turn)) for client in (one, two)]
            await until(lambda: cloud.desk.in_flight == 2)
            backend.gate.set()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(main())
    assert [text for text, _ in answers] == ["w0 w1 w2"] * 2
    assert len(backend.prompts) == 1


def test_leaving_early_cancels_the_decoder_within_one_token():
    backend = FakeBackend(words=1000, stop_before=2)

    async def main():
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            async with contextlib.aclosing(client.turn(request(max_tokens=500))) as items:
                async for item in items:
                    assert isinstance(item, TokenEvent)
                    break
            await asyncio.to_thread(backend.stopped.wait, 10)
            return cloud.desk.computed

    assert asyncio.run(main()) == 0
    assert backend.made <= 2


def test_a_client_that_vanishes_cancels_the_decoder_within_one_token():
    backend = FakeBackend(words=1000, stop_before=2)

    async def main():
        async with running_cloud(backend) as cloud:
            async with raw_client(cloud.url) as client:
                await client.ask(opening(max_tokens=500))
                while (await client.read()).type != FrameType.TOKENS:
                    pass
                client.socket._response.connection.transport.abort()
            await asyncio.to_thread(backend.stopped.wait, 10)
            await until(lambda: not cloud.desk.in_flight)

    asyncio.run(main())
    assert backend.made <= 2


def test_a_cancelled_turn_asked_again_is_computed_afresh():
    backend = FakeBackend(words=3, stop_before=1)

    async def main():
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            turn = request()
            async with contextlib.aclosing(client.turn(turn)) as items:
                await anext(items)
            await until(lambda: cloud.desk.in_flight == 0)
            backend.gate.set()
            return await asked(client, turn)

    text, result = asyncio.run(main())
    assert text == "w0 w1 w2"
    assert not result.replayed


def test_cost_is_that_of_the_prices_and_a_cap_shortens_the_answer():
    async def main():
        backend = FakeBackend(words=9)
        async with running_cloud(backend, prices=Prices(0, 1000)) as cloud, CloudClient(cloud.url) as client:
            return await asked(client, request()), await asked(client, request(max_cost_usd=4e-6))

    free, capped = asyncio.run(main())
    assert free[1].cost_usd == pytest.approx(9e-6)
    assert capped[0] == "w0 w1 w2 w3"
    assert capped[1].cost_usd <= 4e-6


def test_a_cap_below_one_token_is_refused_and_costs_nothing():
    async def main():
        async with running_cloud(prices=Prices(1000, 1000)) as cloud, CloudClient(cloud.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request(max_cost_usd=1e-6))
            return caught.value.code, cloud.desk.billed_microusd

    assert asyncio.run(main()) == ("over_budget", 0)


def test_the_deadline_ends_a_turn_on_a_slow_decoder():
    backend = FakeBackend(stop_before=0)

    async def main():
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request(deadline_ms=300))
            await asyncio.to_thread(backend.stopped.wait, 10)
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.retryable) == ("timeout", True)
    assert error.bytes_up > 0


def test_more_turns_than_places_are_told_to_come_back():
    backend = FakeBackend(stop_before=0)

    async def main():
        async with (
            running_cloud(backend, max_in_flight=1) as cloud,
            CloudClient(cloud.url) as one,
            CloudClient(cloud.url) as two,
        ):
            running = asyncio.create_task(asked(one, request()))
            await until(lambda: cloud.desk.in_flight == 1)
            with pytest.raises(CloudError) as caught:
                await asked(two, request())
            backend.gate.set()
            await running
            return caught.value, await asked(two, request())

    error, later = asyncio.run(main())
    assert (error.code, error.retryable) == ("overloaded", True)
    assert later[0] == "w0 w1 w2"


def test_an_unknown_encoder_is_refused_before_anything_is_uploaded():
    async def main():
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request(tensors=(tensor(encoder_id="another"),)))
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.retryable) == ("unknown_encoder", False)
    assert error.bytes_up < 500


@pytest.mark.parametrize(
    ("failure", "code", "retryable"),
    [
        (RuntimeError("secret detail"), "internal", True),
        (CloudError("no", code="over_budget", retryable=False), "over_budget", False),
    ],
)
def test_a_failing_model_is_a_typed_error_without_its_details(failure, code, retryable):
    async def main():
        async with running_cloud(FakeBackend(failure=failure)) as cloud, CloudClient(cloud.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request())
            cloud.desk.backend.failure = None
            return caught.value, await asked(client, request())

    error, later = asyncio.run(main())
    assert (error.code, error.retryable) == (code, retryable)
    assert "secret" not in str(error)
    assert later[0] == "w0 w1 w2"


def test_a_question_that_does_not_fit_the_model_is_a_bad_request():
    async def main():
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request("too long"))
            return caught.value.code

    assert asyncio.run(main()) == "bad_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "x" * 20_000},
        {"history": (Turn("a", "b"),) * 17},
        {"tensors": tuple(tensor(seed=seed) for seed in range(9))},
        {"max_tokens": 513},
    ],
)
def test_what_is_over_the_limits_is_refused_without_connecting(changes):
    async def main():
        client = CloudClient("http://127.0.0.1:1")
        with pytest.raises(CloudError) as caught:
            await asked(client, request(**changes))
        await client.close()
        return caught.value.code, client.connects

    assert asyncio.run(main()) == ("too_large", 0)


def test_smaller_limits_of_the_cloud_are_kept_by_the_client():
    async def main():
        async with running_cloud(limits=Limits(text_bytes_per_turn=50)) as cloud, CloudClient(cloud.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request("x" * 60))
            return caught.value.code, cloud.desk.in_flight

    assert asyncio.run(main()) == ("too_large", 0)


def test_the_engine_ends_with_one_generation_that_knows_its_bytes():
    async def main():
        clock = SystemClock()
        async with running_cloud() as cloud, CloudClient(cloud.url) as client:
            engine = CloudEngine(client, clock)
            data = np.ones((4, HIDDEN), dtype=np.float32)
            query = Query("what?", (Embeddings(data, ENCODER),), deadline_s=clock.monotonic_s() + 10)
            return [item async for item in engine.generate(query, Decision(Route.CLOUD, "test", "test"))]

    *tokens, last = asyncio.run(main())
    assert all(isinstance(item, TokenEvent) for item in tokens)
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
