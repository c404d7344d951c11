"""Drafts between the real client and the real server: checked, paid for as promised, and never part of the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from cloud_stub.turns import Prices
from clouds import ENCODER, HIDDEN, FakeBackend, asked, opening, raw_client, request, running_cloud, tensor, until
from edge_agent.errors import CloudError
from edge_agent.transport.answers import Usage
from edge_agent.transport.client import CloudClient, TurnResult
from edge_agent.transport.drafts import Draft, Drafted, Verdict
from edge_agent.transport.frames import Frame, FrameType
from edge_agent.transport.messages import Hello, TensorBegin, Welcome, uuid7
from failing import failure
from fixed_draft import TOKENIZER, FixedDraft
from scripted import WELCOME, scripted_cloud


class Reading(FakeBackend):
    """Can check drafts: its tokens are 0, 1, 2, ..."""

    tokenizer_id: str | None = TOKENIZER


async def once(backend: FakeBackend, ids: tuple[int, ...], prices: Prices | None = None, **changes: object):
    changes = {"drafting": FixedDraft(ids)} | changes
    async with running_cloud(backend, prices=prices) as cloud, CloudClient(cloud.url) as client:
        text, result = await asked(client, request(**changes))
        return text, result, cloud.desk.billed_microusd


@pytest.mark.parametrize(
    ("ids", "checked", "accepted"),
    [
        ((0, 1, 2), 3, 3),
        ((0, 1), 2, 2),
        ((0, 7, 2), 3, 1),
        ((9,), 1, 0),
        ((0, 1, 2, 3, 4), 5, 3),
        ((2**32 - 1,), 1, 0),
    ],
    ids=["all", "a beginning", "differs later", "differs at once", "goes on too long", "no such token"],
)
def test_the_answer_is_the_same_whatever_was_drafted(ids, checked, accepted):
    text, result, _ = asyncio.run(once(Reading(), ids))
    assert text == "w0 w1 w2"
    assert result.tokens == 3
    assert (result.drafted, result.accepted) == (checked, accepted)


def test_only_a_backend_that_reads_these_tokens_is_given_the_draft():
    backend = Reading()
    asyncio.run(once(backend, (0, 5)))
    assert backend.prompts[0].draft == (0, 5)
    other = Reading()
    text, result, _ = asyncio.run(once(other, (0, 1), drafting=FixedDraft((0, 1), "another")))
    assert (text, result.drafted, other.prompts[0].draft) == ("w0 w1 w2", 0, ())
    none = FakeBackend()
    text, result, _ = asyncio.run(once(none, (0, 1)))
    assert (text, result.drafted, none.prompts[0].draft) == ("w0 w1 w2", 0, ())


@pytest.mark.parametrize(
    ("ids", "cost"), [((), 2 * 7 + 3 * 50), ((0, 1, 2), (7 + 3) * 2), ((0, 9), (7 + 2) * 2 + 2 * 50)]
)
def test_what_stands_of_a_draft_is_paid_as_prompt(ids, cost):
    drafting = FixedDraft(ids) if ids else None
    prices = Prices(prompt=2000, completion=50_000)
    _, result, billed = asyncio.run(once(Reading(), ids, prices, drafting=drafting))
    assert round(result.cost_usd * 1e6) == billed == cost


def test_a_draft_that_the_budget_does_not_pay_for_is_set_aside():
    prices = Prices(prompt=2000, completion=50_000)
    text, result, billed = asyncio.run(once(Reading(), (0, 9, 9, 9), prices, max_cost_usd=(7 * 2 + 3 * 50) / 1e6))
    assert (text, result.drafted, result.tokens) == ("w0 w1 w2", 0, 3)
    assert billed == 7 * 2 + 3 * 50


def test_an_answer_cut_by_its_length_is_cut_alike():
    text, result, _ = asyncio.run(once(Reading(words=9), (0, 1, 2, 3), max_tokens=2))
    assert (text, result.tokens, result.drafted, result.accepted) == ("w0 w1", 2, 2, 2)


def test_drafting_is_told_the_bytes_of_the_tensors_that_travel():
    drafting, again = FixedDraft((0, 1)), FixedDraft((0, 1))

    async def main() -> tuple[str, str]:
        async with running_cloud(Reading()) as cloud, CloudClient(cloud.url) as client:
            one, _ = await asked(client, request(drafting=drafting))
            two, _ = await asked(client, request(drafting=again, turn_id=uuid7(1_700_000_000_001)))
            return one, two

    assert asyncio.run(main()) == ("w0 w1 w2", "w0 w1 w2")
    assert drafting.bytes_up == len(tensor().payload)
    assert again.bytes_up == 0  # the cloud holds it


@contextlib.asynccontextmanager
async def drafting_client(url: str) -> AsyncIterator:
    async with raw_client(url, greet=False) as client:
        await client.send(Hello(features=("draft", "teleport")).to_frame(), 0)
        frame = await client.read()
        client.numbering.session = frame.session
        client.welcome = Welcome.from_frame(frame)
        yield client


async def upload(client, *drafts: Frame, stream: int = 1) -> None:
    one = tensor()
    await client.send(opening([one]).to_frame(), stream)
    await client.send(TensorBegin.frame_of(one, one.tensor_id()), stream)
    await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload), stream)
    for draft in drafts:
        await client.send(draft, stream)
    await client.send(Frame(FrameType.TENSOR_END), stream)


def test_the_verdict_comes_once_and_before_the_tokens():
    async def main():
        async with running_cloud(Reading()) as cloud, drafting_client(cloud.url) as client:
            assert "draft" in client.welcome.features
            assert client.welcome.tokenizer_id == TOKENIZER
            await upload(client, Draft(TOKENIZER, (0, 8)).to_frame())
            return await client.until_end()

    frames = asyncio.run(main())
    assert frames[0].type == FrameType.VERDICT
    assert Verdict.from_frame(frames[0], 2) == Verdict(1, 2, "differs", 1)
    assert {FrameType.TOKENS, FrameType.USAGE, FrameType.DONE} == {frame.type for frame in frames[1:]}


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(FrameType.DRAFT, {"tokenizer_id": TOKENIZER}, b"123")], "protocol"),
        ([Frame(FrameType.DRAFT, {"tokenizer_id": TOKENIZER}, b"")], "protocol"),
        ([Frame(FrameType.DRAFT, {"tokenizer_id": TOKENIZER}, bytes(4 * 513))], "too_large"),
        ([Frame(FrameType.DRAFT, {"tokenizer_id": 7}, bytes(4))], "protocol"),
        ([Draft(TOKENIZER, (1,)).to_frame(), Draft(TOKENIZER, (1,)).to_frame()], "protocol"),
    ],
    ids=["no whole token", "empty", "too long", "no name", "twice"],
)
def test_a_broken_draft_closes_the_session(frames, code):
    async def main():
        async with running_cloud(Reading()) as cloud, drafting_client(cloud.url) as client:
            await upload(client, *frames)
            found = await client.until_end()
            return found[-1], await client.closed_with()

    frame, closed = asyncio.run(main())
    assert (frame.type, frame.stream, frame.meta["code"]) == (FrameType.ERROR, 0, code)
    assert closed in (1002, 1009)


def test_a_client_that_did_not_say_that_it_drafts_may_not():
    async def main():
        async with running_cloud(Reading()) as cloud, raw_client(cloud.url) as client:
            assert client.welcome.features == ()
            await upload(client, Draft(TOKENIZER, (0,)).to_frame())
            return (await client.until_end())[-1]

    assert asyncio.run(main()).meta["code"] == "protocol"


def test_a_replayed_turn_is_answered_alike_and_billed_once():
    async def main():
        turn = request(drafting=FixedDraft((0, 9)))
        async with running_cloud(Reading(), prices=Prices(1000, 1000)) as cloud, CloudClient(cloud.url) as client:
            first = await asked(client, turn)
            again = await asked(client, turn)
            return first, again, cloud.desk.billed_microusd

    (text, first), (same, again), billed = asyncio.run(main())
    assert text == same
    assert (again.replayed, again.drafted, again.accepted) == (True, first.drafted, first.accepted)
    assert billed == round(first.cost_usd * 1e6)


@pytest.mark.parametrize(
    "verdicts",
    [
        [Verdict(3, 3, "all")],
        [Verdict(0, 2, "differs", 1), Verdict(0, 2, "differs", 1)],
        [Frame(FrameType.VERDICT, {"accepted": 2, "drafted": 1})],
        [Frame(FrameType.VERDICT, {"accepted": 0, "drafted": 2}, b"123")],
        [Usage(1, 0, 0).to_frame(), Verdict(0, 2, "differs", 1)],
    ],
    ids=["on more than was sent", "twice", "more than there is", "no token", "too late"],
)
def test_a_cloud_that_lies_about_a_draft_is_a_protocol_error(verdicts):
    async def script(peer):
        welcome = Welcome(1, "s", ("int8-zstd",), (ENCODER,), HIDDEN, features=("draft",), tokenizer_id=TOKENIZER)
        await peer.welcome(welcome)
        await peer.question()
        for one in verdicts:
            await peer.send(one if isinstance(one, Frame) else one.to_frame())
        await peer.read()

    async def main():
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            await asked(client, request(drafting=FixedDraft((0, 1))))

    with pytest.raises(CloudError) as caught:
        asyncio.run(main())
    assert caught.value.code == "protocol"


def test_drafting_begins_once_the_tensors_were_handed_to_the_link():
    kinds: list[int] = []

    class Late(FixedDraft):
        async def draft(self) -> Drafted:
            await until(lambda: FrameType.TENSOR_CHUNK in kinds)  # else it would wait for ever
            return await super().draft()

    async def script(peer):
        features = {"features": ("draft",), "tokenizer_id": TOKENIZER}
        await peer.welcome(Welcome(1, "s", ("int8-zstd",), (ENCODER,), HIDDEN, **features))
        while FrameType.TENSOR_END not in kinds:
            kinds.append((await peer.read()).type)
        await peer.answer()
        await peer.read()

    async def main() -> None:
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            await asked(client, request(drafting=Late((0, 1))))

    asyncio.run(main())
    assert kinds[-2:] == [FrameType.DRAFT, FrameType.TENSOR_END]


def test_a_verdict_without_a_draft_is_a_protocol_error():
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await peer.send(Verdict(0, 1, "differs", 4).to_frame())
        await peer.read()

    assert failure(scripted_cloud(script)).code == "protocol"


def test_a_cloud_of_an_older_release_gets_no_draft():
    drafting = FixedDraft((0, 1))
    kinds: list[int] = []

    async def script(peer):
        await peer.welcome()
        await peer.question()
        kinds.extend(frame.type for frame in peer.frames)
        await peer.answer()
        await peer.read()

    async def main() -> tuple[str, TurnResult]:
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            return await asked(client, request(drafting=drafting))

    assert asyncio.run(main())[0] == "w0 w1"
    assert "draft" not in WELCOME.features
    assert FrameType.DRAFT not in kinds
    assert not drafting.begun
