"""What a turn may take of money, time and room, and the typed errors where that or the model fails."""

from __future__ import annotations

import asyncio

import pytest

from cloud_stub.turns import Prices
from clouds import (
    FakeBackend,
    asked,
    request,
    running_cloud,
    tensor,
    until,
)
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.limits import Limits
from edge_agent.types import Turn


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
