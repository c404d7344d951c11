"""Pictures of one camera go up as changes of the one before, and whole where the cloud forgot that."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

import bases
import learned
from cloud_stub.memory import SessionMemory
from clouds import FakeBackend, opening, raw_client, running_cloud
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.engines.upload import Coding, Upload
from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import EncodedTensor, decode_tensor
from edge_agent.transport.frames import Frame
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Hello, Welcome, uuid7
from edge_agent.transport.recall import Recall
from edge_agent.types import Decision, Embeddings, Generation, Route

CODEC = learned.changes_codec()
CLOUD = Decision(Route.CLOUD, "test", "")
FIRST = bases.embeddings(1, views=5)


class Reading(FakeBackend):
    encoder_ids = (bases.ENCODER,)


class OfOld(Reading):
    """A cloud that has no tables of changes."""

    @property
    def codecs(self) -> tuple[str, ...]:
        return tuple(one for one in super().codecs if one != CODEC.codec_id)


def frames(count: int) -> list[Embeddings]:
    """One picture, changing a little."""
    made = [FIRST]
    for n in range(1, count):
        made.append(learned.after(made[-1], n, 0.04))
    return made


async def watch(engine: CloudEngine, pictures: list[Embeddings]) -> list[Generation]:
    ends = []
    for one in pictures:
        *_, last = [item async for item in engine.generate(Query("what?", (one,)), CLOUD)]
        assert isinstance(last, Generation)
        ends.append(last)
    return ends


async def watched(backend: FakeBackend, pictures: list[Embeddings], *, changes: bool = True) -> list[Generation]:
    async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
        return await watch(CloudEngine(client, SystemClock(), Coding(level=1, changes=changes)), pictures)


def read(backend: FakeBackend) -> list[np.ndarray]:
    return [np.concatenate([one.data for one in prompt.embeddings]) for prompt in backend.prompts]


def near(one: np.ndarray, picture: Embeddings) -> bool:
    """Whether what was read is that picture, to within steps and margins of the small basis."""
    plain = decode_tensor(CODEC.projected.at(1).encode(picture), Limits()).data
    return bool(np.abs(one - plain).max() < 2 * 2 * 1.125)


def test_consecutive_pictures_take_fewer_bytes_and_are_read_as_they_were_told() -> None:
    pictures = frames(5)
    told, whole = Reading(), Reading()
    fewer = asyncio.run(watched(told, pictures))
    more = asyncio.run(watched(whole, pictures, changes=False))
    assert fewer[0].bytes_up == more[0].bytes_up
    assert sum(end.bytes_up for end in fewer[1:]) < sum(end.bytes_up for end in more[1:])
    assert [end.text for end in fewer] == [end.text for end in more]
    assert all(near(one, picture) for one, picture in zip(read(told), pictures, strict=True))


def sent(pictures: list[Embeddings], codecs: tuple[str, ...]) -> list[EncodedTensor]:
    """What a device sends of consecutive pictures, each answered before the next."""
    welcome = Welcome(1, "cloud", codecs, (bases.ENCODER,), bases.HIDDEN)
    recall, made = Recall(), []
    for n, one in enumerate(pictures):
        upload = Upload(Query("?", (one,)), CLOUD, Coding(level=1), SystemClock())
        (tensor,) = asyncio.run(upload.tensors(welcome, recall))
        recall.learn(str(n), {tensor.tensor_id(): tensor.whole or tensor}, ())
        made.append(tensor)
    return made


def test_each_change_is_of_the_picture_before_and_smaller() -> None:
    first, *others = sent(
        [FIRST, *(learned.after(FIRST, n, 0.01) for n in (2, 3))],
        (CODEC.codec_id, CODEC.projected.codec_id),
    )
    assert first.codec == CODEC.projected.codec_id
    assert [one.codec for one in others] == [CODEC.codec_id] * 2
    assert [one.config["base"] for one in others] == [first.tensor_id()[:16], others[0].tensor_id()[:16]]
    assert max(len(one.payload) for one in others) < len(first.payload)


def test_a_cloud_without_tables_of_changes_and_another_picture_get_whole_tensors() -> None:
    codecs = (CODEC.codec_id, CODEC.projected.codec_id)
    assert [one.codec for one in sent([FIRST, FIRST], codecs[1:])] == [codecs[1]] * 2
    assert [one.codec for one in sent([FIRST, bases.embeddings(2, views=5)], codecs)] == [codecs[1]] * 2
    ends = asyncio.run(watched(OfOld(), frames(3)))
    assert len({end.text for end in ends}) == 1


def test_a_forgotten_base_leads_to_a_whole_picture_and_the_right_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, pictures = Reading(), [FIRST, learned.after(FIRST, 2, 0.04)]
    asked_for: list[str] = []

    def forgetful(self: SessionMemory, beginning: str) -> EncodedTensor:
        asked_for.append(beginning)
        raise CloudError("forgotten", code="forgotten")

    monkeypatch.setattr(SessionMemory, "base", forgetful)
    first, second = asyncio.run(watched(backend, pictures))
    assert len(asked_for) == 1
    assert first.text == second.text
    assert near(read(backend)[1], pictures[1])


def test_what_was_told_as_a_change_is_the_same_tensor_when_it_is_asked_for_again() -> None:
    base = CODEC.projected.at(1).encode(FIRST)
    recall = Recall()
    recall.learn("t", {base.tensor_id(): base}, ())
    welcome = Welcome(1, "cloud", (CODEC.codec_id, CODEC.projected.codec_id), (bases.ENCODER,), bases.HIDDEN)
    picture = learned.after(FIRST, 2, 0.02)
    upload = Upload(Query("?", (picture,)), CLOUD, Coding(level=1), SystemClock())
    (change,) = asyncio.run(upload.tensors(welcome, recall))
    (again,) = asyncio.run(upload.tensors(welcome, Recall()))
    assert (change.codec, again.codec) == (CODEC.codec_id, CODEC.projected.codec_id)
    assert change.tensor_id() == again.tensor_id()


SPOILED = {
    "nothing": {},
    "base": {"config": {"base": "0" * 16, "level": 1}},
    "base of no digits": {"config": {"base": "../", "level": 1}},
    "name": {"whole": CODEC.projected.at(1).encode(bases.embeddings(9, views=5))},
    "bytes": {"payload": b"\0" * 9},
}


@pytest.mark.parametrize(
    ("spoiled", "code", "stream"),
    [
        ("nothing", None, 2),
        ("base", "forgotten", 2),
        ("base of no digits", "bad_tensor", 0),
        ("name", "bad_tensor", 0),
        ("bytes", "bad_tensor", 0),
    ],
)
def test_a_change_is_answered_only_where_it_makes_what_its_name_says(
    spoiled: str, code: str | None, stream: int
) -> None:
    base = CODEC.projected.at(1).encode(FIRST)
    change = CODEC.change(learned.after(FIRST, 2, 0.02), base, 1)
    assert change is not None
    wrong = dataclasses.replace(change, **SPOILED[spoiled])

    async def main() -> Frame:
        async with running_cloud(Reading()) as cloud, raw_client(cloud.url, greet=False) as client:
            await client.send(Hello(codecs=(CODEC.codec_id,), features=features.CLIENT).to_frame(), 0)
            client.numbering.session = (await client.read()).session
            for number, one in ((1, base), (2, wrong)):
                await client.ask(opening([one], turn_id=uuid7(number)), [one], number)
                end = (await client.until_end(number))[-1]
            return end

    end = asyncio.run(main())
    assert (end.stream, end.meta.get("code")) == (stream, code)


def test_a_change_is_refused_where_nobody_said_that_sessions_remember() -> None:
    base = CODEC.projected.at(1).encode(FIRST)
    change = CODEC.change(learned.after(FIRST, 2, 0.02), base, 1)
    assert change is not None

    async def main() -> Frame:
        async with running_cloud(Reading()) as cloud, raw_client(cloud.url) as client:
            await client.ask(opening([change]), [change])
            return (await client.until_end())[-1]

    end = asyncio.run(main())
    assert (end.stream, end.meta["code"]) == (0, "protocol")
