"""One recorded turn, exhaustively: cut at every frame on the way up and at every frame on the way down, each frame sent
at every wrong place and twice. The answer and the bill are those of the turn that nothing happened to.
"""

from __future__ import annotations

import asyncio

import pytest

from clouds import Cloud, raw_client, running_cloud
from edge_agent.transport.frames import Frame, FrameType, decode_frame, encode_frame
from resuming import PRICES, Checking, content, cut, greeted, read_raw, recorded, rest_raw, resume, whole

TURN = recorded()
COUNT = len(TURN)


def bill(data: list[bytes]) -> object:
    return next(frame.meta["cost_microusd"] for one in data if (frame := decode_frame(one)).type == FrameType.USAGE)


def replayed(data: list[bytes]) -> object:
    """What a turn that is asked once more is answered with."""
    tokens, others = content(data)
    return tokens, [
        (kind, meta | {"replayed": True} if "replayed" in meta else meta, body) for kind, meta, body in others
    ]


async def asked_again(cloud: Cloud) -> list[bytes]:
    """The same turn of the same client in a session of its own."""
    async with greeted(cloud.url) as client:
        for frame in TURN:
            await client.send(frame)
        return await read_raw(client, 100)


async def cut_twice(cloud: Cloud, sent: int, seen: int) -> list[bytes]:
    """The turn, cut after `sent` of its frames went up, and again after `seen` frames of the answer came down."""
    async with (
        greeted(cloud.url) as first,
        raw_client(cloud.url, greet=False) as second,
        raw_client(cloud.url, greet=False) as third,
    ):
        stamped = [encode_frame(first.numbering.stamp(frame, 1)) for frame in TURN]
        for data in stamped[:sent]:
            await first.socket.send_bytes(data)
        cut(first.socket)
        received = (await resume(second, first, ((1, 0),)))[1]
        for data in stamped[received:]:
            await second.socket.send_bytes(data)
        before = await read_raw(second, seen)
        cut(second.socket)
        await resume(third, first, ((1, len(before)),))
        return before + await rest_raw(third, before)


@pytest.mark.parametrize("sent", range(COUNT + 1))
def test_cut_at_every_frame_up_and_at_every_frame_down_and_replayed_is_one_answer_and_one_bill(sent: int) -> None:
    async def main() -> None:
        wanted = await whole()
        for seen in range(len(wanted)):
            async with running_cloud(Checking(words=5), prices=PRICES) as cloud:
                data = await cut_twice(cloud, sent, seen)
                assert content(data) == content(wanted), seen
                assert [decode_frame(one).seq for one in data] == list(range(len(data))), seen
                assert content(await asked_again(cloud)) == replayed(wanted), seen
                assert (cloud.desk.computed, cloud.desk.billed_microusd) == (1, bill(wanted)), seen

    asyncio.run(main())


def moved(at: int, to: int) -> list[int]:
    """The numbers of all frames, with number `at` in place `to`."""
    order = [number for number in range(COUNT) if number != at]
    return [*order[:to], at, *order[to:]]


def doubled(at: int, to: int) -> list[int]:
    """The numbers of all frames, with number `at` once more in place `to`, behind itself."""
    order = list(range(COUNT))
    return [*order[:to], at, *order[to:]]


WRONG = {
    **{f"{at} at {to}": moved(at, to) for at in range(COUNT) for to in range(COUNT) if at != to},
    **{f"{at} again at {to}": doubled(at, to) for at in range(COUNT) for to in range(at + 1, COUNT)},
}


async def refused(cloud: Cloud, order: list[int]) -> tuple[Frame, int | None]:
    """What answers the turn when its frames come in `order`."""
    async with greeted(cloud.url) as client:
        stamped = [encode_frame(client.numbering.stamp(frame, 1)) for frame in TURN]
        for number in order:
            await client.socket.send_bytes(stamped[number])
        return await client.read(), await client.closed_with()


def test_a_frame_at_any_wrong_place_or_twice_is_refused_and_the_turn_asked_anew_has_one_bill() -> None:
    async def main() -> None:
        wanted = await whole()
        for name, order in WRONG.items():
            async with running_cloud(Checking(words=5), prices=PRICES) as cloud:
                frame, closed = await refused(cloud, order)
                assert (frame.type, frame.meta["code"], closed) == (FrameType.ERROR, "protocol", 1002), name
                assert cloud.desk.computed == 0, name
                assert content(await asked_again(cloud)) == content(wanted), name
                assert (cloud.desk.computed, cloud.desk.billed_microusd) == (1, bill(wanted)), name

    asyncio.run(main())
