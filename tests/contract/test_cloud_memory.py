"""What a session knows is not sent again, what it forgot is, and nobody gains by another's memory."""

from __future__ import annotations

import asyncio

import pytest

from cloud_stub.memory import CONVERSATIONS, TENSORS, SessionMemory
from clouds import (
    FakeBackend,
    asked,
    opening,
    raw_client,
    request,
    running_cloud,
    tensor,
)
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.features import CLIENT
from edge_agent.transport.frames import Frame, FrameType
from edge_agent.transport.messages import Hello, TensorBegin, uuid7
from edge_agent.transport.recall import Recall
from edge_agent.types import Turn


def talk(words: int = 2) -> tuple[Turn, ...]:
    return (Turn("what is it?", " ".join(f"w{n}" for n in range(words))),)


def test_the_second_question_about_a_picture_does_not_send_it_again():
    async def main():
        backend = FakeBackend(words=2)
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            first = await asked(client, request(turn_id=uuid7(1)))
            second = await asked(client, request("and now?", turn_id=uuid7(2)))
            return first, second, backend.prompts

    (_, first), (_, second), prompts = asyncio.run(main())
    size = len(tensor().payload)
    assert first.bytes_up > size
    assert second.bytes_up < 400
    assert (prompts[0].embeddings[0].data == prompts[1].embeddings[0].data).all()


def test_a_conversation_sends_only_what_is_new():
    async def main():
        backend = FakeBackend(words=2)
        sizes, history = [], ()
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            for n in range(5):
                question = f"question {n}: " + "long " * 100
                text, result = await asked(client, request(question, turn_id=uuid7(n), history=history))
                history = (*history, Turn(question, text))
                sizes.append(result.bytes_up)
        return backend.prompts, sizes, history

    prompts, sizes, history = asyncio.run(main())
    assert [prompt.history for prompt in prompts] == [history[:n] for n in range(5)]
    assert max(sizes[1:]) - min(sizes[1:]) < 20  # else 500 more with each


def test_another_conversation_is_sent_whole():
    async def main():
        backend = FakeBackend(words=2)
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            await asked(client, request(turn_id=uuid7(1)))
            await asked(client, request("?", turn_id=uuid7(2), history=(Turn("who?", "me"),)))
            return [prompt.history for prompt in backend.prompts]

    assert asyncio.run(main()) == [(), (Turn("who?", "me"),)]


@pytest.mark.parametrize("what", ["tensors", "histories"])
def test_what_the_cloud_forgot_is_sent_again(what):
    async def main():
        backend = FakeBackend(words=2)
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            await asked(client, request(turn_id=uuid7(1)))
            (session,) = cloud.app._reception._sessions.values()
            getattr(session._memory, f"_{what}").clear()
            text, result = await asked(client, request("and now?", turn_id=uuid7(2), history=talk()))
            return text, result, backend.prompts[-1], cloud.desk.computed

    text, result, prompt, computed = asyncio.run(main())
    assert (text, computed) == ("w0 w1", 2)
    assert prompt.history == talk()
    assert result.bytes_up > len(tensor().payload)


def test_a_new_connection_starts_from_nothing():
    async def main():
        async with running_cloud(FakeBackend(words=2)) as cloud:
            sizes = []
            for n in range(2):
                async with CloudClient(cloud.url) as client:
                    sizes.append((await asked(client, request(turn_id=uuid7(n))))[1].bytes_up)
            return sizes

    first, second = asyncio.run(main())
    assert abs(first - second) < 20


def greeting() -> Frame:
    return Hello(features=CLIENT).to_frame()


async def two_agents(backend: FakeBackend, second: Frame) -> Frame:
    """One agent uploads a picture; another, with the same token, sends `second` in its own session. Its answer."""
    async with (
        running_cloud(backend) as cloud,
        raw_client(cloud.url, greet=False) as one,
        raw_client(cloud.url, greet=False) as other,
    ):
        for client in (one, other):
            await client.send(greeting(), 0)
            client.numbering.session = (await client.read()).session
        await one.ask(opening([tensor()], turn_id=uuid7(7)), [tensor()])
        await one.until_end()
        await other.send(second)
        return await other.read()


def test_an_agent_cannot_ask_about_the_tensor_of_another_by_its_name():
    turn = opening([tensor()], turn_id=uuid7(8), held=(tensor().tensor_id(),))
    frame = asyncio.run(two_agents(FakeBackend(), turn.to_frame()))
    assert (frame.type, frame.meta["code"], frame.meta["retryable"]) == (FrameType.ERROR, "forgotten", True)


def test_an_agent_cannot_go_on_with_the_conversation_of_another():
    base = uuid7(7)
    turn = opening([], turn_id=uuid7(8), base_turn=base)
    frame = asyncio.run(two_agents(FakeBackend(), turn.to_frame()))
    assert frame.meta["code"] == "forgotten"


def test_an_agent_is_not_told_what_another_has_sent():
    async def main():
        async with (
            running_cloud(FakeBackend()) as cloud,
            raw_client(cloud.url, greet=False) as one,
            raw_client(cloud.url, greet=False) as other,
        ):
            kinds = []
            for n, client in enumerate((one, one, other)):
                if client.numbering.session == 0:
                    await client.send(greeting(), 0)
                    client.numbering.session = (await client.read()).session
                stream = 2 if n == 1 else 1
                await client.ask(opening([tensor()], turn_id=uuid7(n)), [tensor()], stream)
                kinds.append([frame.type for frame in await client.until_end(stream)])
            return kinds

    first, again, other = asyncio.run(main())
    assert FrameType.HAVE not in first
    assert again[0] == FrameType.HAVE  # and its own TENSOR frames, which came all the same, hurt nobody
    assert FrameType.HAVE not in other


def test_an_upload_may_stop_in_the_middle_of_a_tensor_that_the_cloud_has():
    async def main():
        one, two = tensor(seed=1), tensor(seed=2)
        async with running_cloud(FakeBackend()) as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(greeting(), 0)
            client.numbering.session = (await client.read()).session
            await client.ask(opening([one], turn_id=uuid7(1)), [one])
            await client.until_end()
            await client.send(opening([one, two], turn_id=uuid7(2)).to_frame(), 2)
            await client.send(TensorBegin.frame_of(one, one.tensor_id()), 2)
            await client.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload[:5]), 2)
            for frame in (
                TensorBegin.frame_of(two, two.tensor_id()),
                Frame(FrameType.TENSOR_CHUNK, payload=two.payload),
            ):
                await client.send(frame, 2)
            await client.send(Frame(FrameType.TENSOR_END), 2)
            return [frame.type for frame in await client.until_end(2)]

    kinds = asyncio.run(main())
    assert (kinds[0], kinds[-1]) == (FrameType.HAVE, FrameType.DONE)


@pytest.mark.parametrize(
    "changes", [{"held": (tensor().tensor_id(),)}, {"base_turn": uuid7(1)}], ids=["held", "base_turn"]
)
def test_a_client_that_did_not_agree_to_it_may_not_refer_to_anything(changes):
    async def main():
        async with running_cloud() as cloud, raw_client(cloud.url) as client:
            await client.send(opening([tensor()], **changes).to_frame())
            return (await client.read()).meta["code"]

    assert asyncio.run(main()) == "protocol"


@pytest.mark.parametrize(
    "meta",
    [{"held": ["0" * 64]}, {"held": "x"}, {"base_turn": "yesterday"}, {"base_turn": 7}],
    ids=["not of this turn", "no list", "no id", "a number"],
)
def test_a_turn_that_refers_to_nonsense_is_refused(meta):
    async def main():
        async with running_cloud() as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(greeting(), 0)
            client.numbering.session = (await client.read()).session
            turn = opening([tensor()]).to_frame()
            await client.send(Frame(turn.type, {**turn.meta, **meta}, turn.payload))
            return (await client.read()).meta["code"]

    assert asyncio.run(main()) in ("protocol", "too_large")


def test_a_conversation_that_grows_too_long_is_refused_and_the_session_goes_on():
    async def main():
        async with running_cloud(FakeBackend(words=1)) as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(greeting(), 0)
            client.numbering.session = (await client.read()).session
            base, codes = "", []
            for n in range(18):
                turn_id = uuid7(n)
                await client.ask(opening([], turn_id=turn_id, base_turn=base), (), n + 1)
                last = (await client.until_end(n + 1))[-1]
                codes.append(last.meta.get("code", "answered"))
                base = turn_id if last.type == FrameType.DONE else base
            return codes

    assert asyncio.run(main()) == ["answered"] * 17 + ["bad_request"]


def coded(size: int, seed: int) -> EncodedTensor:
    return EncodedTensor("raw-f32", "float32", (1, 8), bytes([seed]) * size, "e")


def test_the_memory_of_a_session_is_bounded_and_forgets_the_oldest():
    memory = SessionMemory()
    small = [coded(100, n) for n in range(TENSORS + 3)]
    for one in small:
        memory.keep_tensors((one.tensor_id(),), (one,))
    kept = [memory.tensor(one.tensor_id()) is not None for one in small]
    assert kept == [False] * 3 + [True] * TENSORS
    for one in (coded(3 << 20, n) for n in (1, 2)):
        memory.keep_tensors((one.tensor_id(),), (one,))
    assert memory.tensor(coded(3 << 20, 1).tensor_id()) is None
    assert memory.tensor(coded(3 << 20, 2).tensor_id()) is not None
    for n in range(CONVERSATIONS + 2):
        memory.keep_history(str(n), (Turn("a", "b"),))
    assert [memory.history(str(n)) is None for n in range(3)] == [True, True, False]
    memory.keep_history("huge", (Turn("a" * (257 << 10), "b"),))
    assert memory.history("huge") is None


def test_a_client_goes_on_only_from_the_very_conversation_that_it_remembers():
    recall, told = Recall(), (Turn("a", "b"), Turn("c", "d"))
    assert recall.base(told) == ("", told)
    recall.learn("t", {"x": coded(8, 1)}, told[:1])
    assert recall.base(told) == ("t", told[1:])
    assert recall.base(told[:1]) == ("t", ())
    assert recall.base(()) == ("", ())
    assert recall.base((Turn("a", "B"),)) == ("", (Turn("a", "B"),))
    assert recall.held(("x", "y")) == ("x",)
    recall.forget()
    assert recall.held(("x",)) == ()
    assert recall.base(told) == ("", told)


def test_a_cloud_that_always_says_forgotten_is_asked_twice_and_no_more():
    async def main():
        async with running_cloud(FakeBackend(words=2)) as cloud, CloudClient(cloud.url) as client:
            await asked(client, request(turn_id=uuid7(1)))
            for session in cloud.app._reception._sessions.values():
                session._memory.fill = refuse
            SessionMemory.fill, kept = refuse, SessionMemory.fill
            try:
                await asked(client, request(turn_id=uuid7(2)))
            finally:
                SessionMemory.fill = kept

    def refuse(*_: object) -> None:
        raise CloudError("forgotten", code="forgotten")

    with pytest.raises(CloudError) as caught:
        asyncio.run(main())
    assert caught.value.code == "forgotten"
