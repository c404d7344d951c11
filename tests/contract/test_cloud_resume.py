"""A turn that is cut anywhere, resumed, replayed or sent out of order gives the same bytes, and one bill."""

from __future__ import annotations

import asyncio

import pytest

from clouds import raw_client, running_cloud
from edge_agent.transport.frames import FrameType, decode_frame, encode_frame
from resuming import PRICES, Checking, content, cut, greeted, read_raw, recorded, rest_raw, resume, whole


def cost(data: list[bytes]) -> object:
    return next(frame.meta["cost_microusd"] for one in data if (frame := decode_frame(one)).type == FrameType.USAGE)


async def cut_up(sent: int) -> tuple[list[bytes], int, int]:
    """The turn cut after `sent` of its frames went up."""
    async with running_cloud(Checking(words=5), prices=PRICES) as cloud:
        frames = recorded()
        async with greeted(cloud.url) as first, raw_client(cloud.url, greet=False) as second:
            stamped = [encode_frame(first.numbering.stamp(frame, 1)) for frame in frames]
            for data in stamped[:sent]:
                await first.socket.send_bytes(data)
            cut(first.socket)
            received = (await resume(second, first, ((1, 0),)))[1]
            assert received <= sent
            for data in stamped[received:]:
                await second.socket.send_bytes(data)
            return await read_raw(second, 100), cloud.desk.computed, cloud.desk.billed_microusd


async def cut_down(seen: int) -> tuple[list[bytes], int, int]:
    """The turn cut after `seen` frames of its answer came down."""
    async with (
        running_cloud(Checking(words=5), prices=PRICES) as cloud,
        greeted(cloud.url) as first,
        raw_client(cloud.url, greet=False) as second,
    ):
        for frame in recorded():
            await first.send(frame)
        before = await read_raw(first, seen)
        cut(first.socket)
        await resume(second, first, ((1, len(before)),))
        rest = await rest_raw(second, before)
        return before + rest, cloud.desk.computed, cloud.desk.billed_microusd


def test_a_turn_cut_at_any_frame_on_the_way_up_gives_the_same_answer_and_one_bill():
    async def main():
        wanted = await whole()
        for sent in range(len(recorded()) + 1):
            data, computed, billed = await cut_up(sent)
            assert content(data) == content(wanted), sent
            assert (computed, billed) == (1, cost(wanted)), sent

    asyncio.run(main())


def test_a_turn_cut_at_any_frame_on_the_way_down_gives_the_same_bytes_and_one_bill():
    async def main():
        wanted = await whole()
        for seen in range(len(wanted)):
            data, computed, billed = await cut_down(seen)
            assert content(data) == content(wanted), seen
            assert [decode_frame(one).seq for one in data] == list(range(len(data))), seen
            assert (computed, billed) == (1, cost(wanted)), seen

    asyncio.run(main())


def test_a_stream_may_be_read_again_from_its_beginning_byte_for_byte():
    async def main():
        async with running_cloud(Checking(words=5), prices=PRICES) as cloud, greeted(cloud.url) as first:
            for frame in recorded():
                await first.send(frame)
            once = await read_raw(first, 100)
            cut(first.socket)
            again = []
            for _ in range(3):
                async with raw_client(cloud.url, greet=False) as second:
                    await resume(second, first, ((1, 0),))
                    again.append(await read_raw(second, 100))
                    cut(second.socket)
            return once, again, cloud.desk.computed

    once, again, computed = asyncio.run(main())
    assert again == [once] * 3
    assert computed == 1


def test_a_turn_replayed_in_another_session_gives_the_same_answer_and_no_second_bill():
    async def main():
        async with running_cloud(Checking(words=5), prices=PRICES) as cloud:
            answers, frames = [], recorded()
            for _ in range(3):
                async with greeted(cloud.url) as client:
                    for frame in frames:
                        await client.send(frame)
                    answers.append(await read_raw(client, 100))
            return answers, cloud.desk.computed, cloud.desk.billed_microusd

    (first, *again), computed, billed = asyncio.run(main())
    tokens, (verdict, usage, done) = content(first)
    for one in again:
        replayed = (usage[0], usage[1] | {"replayed": True}, b"")
        assert content(one) == (tokens, [verdict, replayed, done])
    assert (computed, billed) == (1, cost(first))


@pytest.mark.parametrize("at", range(len(recorded()) - 1))
def test_frames_out_of_order_are_never_answered(at):
    """Two neighbours change places: numbers tell."""

    async def main():
        async with running_cloud(Checking(), prices=PRICES) as cloud, greeted(cloud.url) as client:
            stamped = [encode_frame(client.numbering.stamp(frame, 1)) for frame in recorded()]
            stamped[at], stamped[at + 1] = stamped[at + 1], stamped[at]
            for data in stamped:
                await client.socket.send_bytes(data)
            frame = await client.read()
            return frame, await client.closed_with(), cloud.desk.computed

    frame, closed, computed = asyncio.run(main())
    assert (frame.type, frame.meta["code"], closed, computed) == (FrameType.ERROR, "protocol", 1002, 0)
