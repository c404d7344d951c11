"""A turn asked twice or left early: neither computed nor billed again, and cancelled within one token."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from cloud_stub.turns import Prices
from clouds import (
    FakeBackend,
    asked,
    opening,
    raw_client,
    request,
    running_cloud,
    until,
)
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.frames import FrameType
from edge_agent.transport.messages import uuid7
from edge_agent.types import TokenEvent


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
