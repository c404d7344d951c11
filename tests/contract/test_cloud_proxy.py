"""Behind a proxy that lets no WebSocket through, the client asks the real server by POST: the same words and bill."""

from __future__ import annotations

import asyncio
import base64
import contextlib

import pytest

from cloud_stub.turns import Prices
from clouds import FakeBackend, asked, request, running_cloud, tensor, until
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient, TurnResult
from edge_agent.transport.frames import ENDPOINT, POST_ENDPOINT
from edge_agent.transport.messages import uuid7
from fixed_draft import TOKENIZER, FixedDraft
from proxies import running_proxy

POSTED = f"POST {POST_ENDPOINT}"


class Reading(FakeBackend):
    tokenizer_id: str | None = TOKENIZER


def turn(number: int = 0, **changes: object):
    return request(turn_id=uuid7(1_700_000_000_000 + number), **changes)


@pytest.mark.parametrize(
    "about",
    [{"status": 400}, {"status": 403}, {"status": 426}, {"status": 501}, {"status": 0}, {"stripped": True}],
    ids=["400", "403", "426", "501", "hangs up", "a plain GET"],
)
def test_a_proxy_that_refuses_the_upgrade_does_not_keep_the_cloud_away(about):
    async def main():
        async with (
            running_cloud(FakeBackend(words=3), token=None, prices=Prices(2000, 50_000)) as cloud,
            running_proxy(cloud.url, **about) as proxy,
            CloudClient(proxy.url) as client,
        ):
            text, result = await asked(client, turn())
            return text, result, proxy.seen, cloud.desk.billed_microusd

    text, result, seen, billed = asyncio.run(main())
    assert text == "w0 w1 w2"
    assert (result.tokens, round(result.cost_usd * 1e6)) == (3, billed)
    assert seen[-2:] == [POSTED, POSTED]  # who is there, then the turn
    assert set(seen[:-2]) == {"UPGRADE"}


def test_the_next_questions_go_by_post_at_once_and_cost_one_request():
    async def main():
        async with running_cloud() as cloud, running_proxy(cloud.url) as proxy, CloudClient(proxy.url) as client:
            await asked(client, turn())
            del proxy.seen[:]
            texts = [(await asked(client, turn(number)))[0] for number in (1, 2)]
            await until(lambda: not cloud.app._reception.count)
            return texts, proxy.seen, client.connects

    texts, seen, connects = asyncio.run(main())
    assert texts == ["w0 w1 w2"] * 2
    assert seen == [POSTED] * 2
    assert connects == 1


def test_a_turn_by_post_is_counted_to_the_byte():
    async def main(post: bool) -> list[TurnResult]:
        async with (
            running_cloud() as cloud,
            running_proxy(cloud.url) as proxy,
            CloudClient(proxy.url if post else cloud.url) as client,
        ):
            return [(await asked(client, turn(number, tensors=(tensor(seed=number),))))[1] for number in (0, 1)]

    posted, plain = asyncio.run(main(True)), asyncio.run(main(False))
    hello_bytes = posted[0].bytes_up - posted[1].bytes_up
    assert posted[1].bytes_up == pytest.approx(plain[1].bytes_up + hello_bytes, abs=60)  # HELLO goes with each turn
    assert posted[0].bytes_down > posted[1].bytes_down > plain[1].bytes_down


def test_a_draft_travels_by_post_too():
    async def main():
        async with (
            running_cloud(Reading()) as cloud,
            running_proxy(cloud.url) as proxy,
            CloudClient(proxy.url) as client,
        ):
            drafting = FixedDraft((0, 9))
            return (*await asked(client, turn(drafting=drafting)), drafting.begun)

    text, result, begun = asyncio.run(main())
    assert (text, result.drafted, result.accepted) == ("w0 w1 w2", 2, 1)
    assert begun


def test_the_same_turn_asked_again_by_post_is_answered_from_the_store():
    async def main():
        async with running_cloud(prices=Prices(1000, 1000)) as cloud, running_proxy(cloud.url) as proxy:
            same = turn()
            async with CloudClient(cloud.url) as plain, CloudClient(proxy.url) as posting:
                one, two = await asked(plain, same), await asked(posting, same)
            return one, two, cloud.desk.computed

    (text, first), (same, again), computed = asyncio.run(main())
    assert (text, first.replayed, again.replayed, computed) == (same, False, True, 1)


def test_leaving_early_cancels_the_turn():
    async def main():
        backend = FakeBackend(words=3, stop_before=1)
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            client._poster._until_s = float("inf")  # as if a proxy had been met
            async with contextlib.aclosing(client.turn(turn())) as items:
                async for _ in items:
                    break
            await until(backend.stopped.is_set)
            return backend.made

    assert asyncio.run(main()) == 1


def test_the_tokens_come_as_they_are_made():
    async def main():
        backend = FakeBackend(words=3, stop_before=2)
        async with (
            running_cloud(backend) as cloud,
            running_proxy(cloud.url) as proxy,
            CloudClient(proxy.url) as client,
            contextlib.aclosing(client.turn(turn())) as items,
        ):
            told = []
            async for item in items:
                told.append(item)
                if len(told) == 2:
                    backend.gate.set()  # the third one is not made before the second is here
            return told

    assert [type(one).__name__ for one in asyncio.run(main())] == ["TokenEvent"] * 3 + ["TurnResult"]


def test_a_deadline_holds_by_post():
    async def main():
        backend = FakeBackend(stop_before=0)
        async with running_cloud(backend) as cloud, running_proxy(cloud.url) as proxy, CloudClient(proxy.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, turn(deadline_ms=400))
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.asked) == ("timeout", True)


@pytest.mark.parametrize(("token", "code"), [("secret", None), ("wrong", "auth")])
def test_the_token_goes_with_a_post(token, code):
    async def main():
        async with (
            running_cloud(token="secret") as cloud,
            running_proxy(cloud.url) as proxy,
            CloudClient(proxy.url, token) as client,
        ):
            return await asked(client, turn())

    if code is None:
        assert asyncio.run(main())[0] == "w0 w1 w2"
        return
    with pytest.raises(CloudError) as caught:
        asyncio.run(main())
    assert (caught.value.code, caught.value.asked) == ("auth", False)


def test_a_cloud_that_is_another_one_by_now_is_greeted_again():
    class Other(FakeBackend):
        model = "other"

    async def main():
        async with (
            running_cloud() as one,
            running_cloud(Other()) as two,
            running_proxy(one.url) as proxy,
            CloudClient(proxy.url) as client,
        ):
            await asked(client, turn())
            proxy.target = two.url
            with pytest.raises(CloudError) as caught:
                await asked(client, turn(1))
            return caught.value.code, (await asked(client, turn(2)))[0]

    assert asyncio.run(main()) == ("closed", "w0 w1 w2")


def test_a_cloud_at_a_path_of_its_own_has_no_post():
    async def main():
        async with (
            running_cloud() as cloud,
            running_proxy(cloud.url) as proxy,
            CloudClient(proxy.url + "/elsewhere") as client,
        ):
            with pytest.raises(CloudError) as caught:
                await asked(client, turn())
            return caught.value.code, proxy.seen

    assert asyncio.run(main()) == ("protocol", ["UPGRADE"])
    assert ENDPOINT != "/elsewhere"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda part: part.replace(b"data: ", b"data: !"), "protocol"),
        (lambda part: b"data: " + b"A" * 400_000 + b"\n\n", "too_large"),
        (lambda part: b"data: " + base64.b64encode(b"EAP2" + bytes(60)) + b"\n\n", "protocol"),
        (lambda part: b": nothing\n\n", "closed"),
    ],
    ids=["no base64", "too long a line", "no frame", "nothing"],
)
def test_events_that_are_none_end_the_turn(change, code):
    async def main():
        async with running_cloud() as cloud, running_proxy(cloud.url) as proxy, CloudClient(proxy.url) as client:
            await asked(client, turn())
            proxy.change = change
            with pytest.raises(CloudError) as caught:
                await asked(client, turn(1))
            return caught.value.code

    assert asyncio.run(main()) == code
