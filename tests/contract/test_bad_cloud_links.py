"""Clouds that stall, hang up or are cut off: who asked learns it by the deadline, and the next question goes on."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from clouds import ENCODER, asked, request, until
from edge_agent.errors import CloudError
from edge_agent.transport.answers import tokens_frame
from edge_agent.transport.client import CloudClient
from edge_agent.transport.dialing import CLOSE_S
from edge_agent.transport.frames import Frame, FrameType
from edge_agent.transport.messages import Welcome
from failing import LATE_S, failure, tasks_of_connections, token_events
from scripted import scripted_cloud


@pytest.mark.parametrize("moment", ["before hello", "after hello", "after welcome", "in the upload", "in the answer"])
@pytest.mark.parametrize("abort", [False, True], ids=["close", "reset"])
def test_a_connection_cut_at_any_moment_is_a_closed_error(moment, abort):
    async def script(peer):
        steps = {"before hello": 0, "after hello": 1, "after welcome": 2, "in the upload": 3, "in the answer": 4}[
            moment
        ]
        if steps == 1:
            await peer.read()
        if steps >= 2:
            await peer.welcome()
        if steps == 3:
            await peer.read()
        if steps == 4:
            await peer.question()
            await peer.send(tokens_frame(0, token_events(1)))
        if abort:
            peer.request.transport.abort()
        else:
            await peer.socket.close()

    error = failure(scripted_cloud(script))
    assert (error.code, error.retryable) == ("closed", True)


def stalling(moment: str):
    """A cloud that does nothing more after `moment`, not even read or close."""

    async def script(peer):
        if moment != "hello":
            await peer.welcome()
        if moment == "turn":
            await peer.read()
        if moment in ("question", "tokens"):
            await peer.question()
        if moment == "tokens":
            await peer.send(tokens_frame(0, token_events(1)))
        await asyncio.sleep(60)

    return scripted_cloud(script)


@pytest.mark.parametrize("moment", ["hello", "welcome", "turn", "question", "tokens"])
def test_a_cloud_that_stalls_ends_in_a_timeout_by_the_deadline(moment):
    error = failure(stalling(moment), deadline_ms=500)
    assert (error.code, error.retryable) == ("timeout", True)
    assert error.asked == (moment != "hello")
    assert error.bytes_up > (400 if error.asked else 30)
    assert (error.bytes_down > 0) == (moment != "hello")


def test_a_cloud_that_reads_nothing_ends_in_a_timeout():
    import numpy as np

    from edge_agent.transport.codecs import find_codec
    from edge_agent.types import Embeddings

    wide = find_codec("raw-f32").encode(Embeddings(np.ones((500, 2000), dtype=np.float32), ENCODER))

    async def script(peer):
        await peer.welcome(Welcome(1, "m", ("raw-f32",), (ENCODER,), 2000))
        peer.request.transport.pause_reading()
        await asyncio.sleep(60)

    error = failure(scripted_cloud(script), deadline_ms=400, turn=request(tensors=(wide,), deadline_ms=400))
    assert (error.code, error.asked) == ("timeout", True)


@pytest.mark.parametrize("moment", ["hello", "question", "tokens"])
def test_who_cancels_a_turn_does_not_wait_for_a_cloud_that_stalls(moment):
    async def main():
        async with stalling(moment) as url:
            client = CloudClient(url)
            turn = asyncio.create_task(asked(client, request()))
            await until(lambda: client.connects)
            await asyncio.sleep(0.1)  # WELCOME, TURN and the first token pass
            started_s = time.monotonic()
            turn.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await turn
            assert turn.cancelled()
            assert time.monotonic() - started_s < LATE_S
            await client.close()
            assert time.monotonic() - started_s < CLOSE_S + 2 * LATE_S
            assert tasks_of_connections() == []

    asyncio.run(main())


def test_who_leaves_an_answer_early_does_not_wait_for_a_cloud_that_stalls():
    async def main():
        async with stalling("tokens") as url, CloudClient(url) as client:
            async with contextlib.aclosing(client.turn(request())) as items:
                await anext(items)
                started_s = time.monotonic()
            assert time.monotonic() - started_s < LATE_S

    asyncio.run(main())


def test_a_second_turn_need_not_wait_until_the_first_connection_is_gone():
    async def script(peer):
        await peer.welcome()
        opening = await peer.question()
        if opening.meta["budget"]["max_tokens"] == 1:
            await asyncio.sleep(60)
        await peer.answer()
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            with pytest.raises(CloudError):
                await asked(client, request(deadline_ms=200, max_tokens=1))
            started_s = time.monotonic()
            text, _ = await asked(client, request())
            return text, time.monotonic() - started_s

    text, took_s = asyncio.run(main())
    assert text == "w0 w1"
    assert took_s < LATE_S


def test_bye_in_the_middle_of_an_answer_is_a_closed_error():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(Frame(FrameType.BYE), 0)
        await peer.read()

    assert failure(scripted_cloud(script)).code == "closed"


def test_a_connection_that_announced_its_end_is_not_used_again():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(Frame(FrameType.GOAWAY, {"drain_s": 30}), 0)
        await peer.answer()
        await peer.question()
        await peer.answer(stream=2)

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return [(await asked(client, request()))[0] for _ in range(2)], client.connects

    assert asyncio.run(main()) == (["w0 w1"] * 2, 2)


def test_an_idle_connection_that_closes_on_the_next_question_is_replaced_once():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.answer()
        await peer.question()
        await peer.socket.close()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return [(await asked(client, request()))[0] for _ in range(2)], client.connects

    assert asyncio.run(main()) == (["w0 w1"] * 2, 2)


def test_connections_that_were_given_up_are_gone_soon_without_a_close():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.raw(b"garbage")
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            for _ in range(3):
                with pytest.raises(CloudError):
                    await asked(client, request())
            await until(lambda: not tasks_of_connections() and not client._leaving)

    asyncio.run(main())
