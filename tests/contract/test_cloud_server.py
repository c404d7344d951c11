"""The reference cloud with clients that behave: what it announces, answers in order, and how it says goodbye."""

from __future__ import annotations

import asyncio

from clouds import ENCODER, HIDDEN, FakeBackend, opening, raw_client, running_cloud, tensor
from edge_agent.transport.frames import FrameType
from edge_agent.transport.limits import Limits
from talking import talk


def test_welcome_announces_model_encoders_codecs_and_limits():
    async def script(client, cloud):
        return client.welcome

    welcome = talk(script)
    assert (welcome.version, welcome.model, welcome.encoder_ids, welcome.hidden_size) == (1, "fake", (ENCODER,), HIDDEN)
    assert {"int4-zstd", "int8-zstd", "raw-f32"} <= set(welcome.codecs)
    assert welcome.limits == Limits()


def test_frames_of_an_answer_come_in_order_with_their_numbers():
    async def script(client, cloud):
        one = tensor()
        await client.ask(opening([one]), [one])
        return await client.until_end()

    frames = talk(script)
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert {frame.stream for frame in frames} == {1}
    assert [frame.name for frame in frames[-2:]] == ["USAGE", "DONE"]
    assert {frame.name for frame in frames[:-2]} == {"TOKENS"}


def test_turns_on_one_connection_are_answered_each_on_its_stream():
    async def script(client, cloud):
        for stream in (1, 2, 5):
            await client.ask(opening(), stream=stream)
        ended = set()
        while len(ended) < 3:
            frame = await client.read()
            if frame.type == FrameType.DONE:
                ended.add(frame.stream)
        return ended

    assert talk(script) == {1, 2, 5}


def test_a_fifth_turn_at_once_is_overloaded_and_the_others_go_on():
    backend = FakeBackend(stop_before=0)

    async def script(client, cloud):
        for stream in range(1, 6):
            await client.ask(opening(), stream=stream)
        (frame,) = await client.until_end(5)
        backend.gate.set()
        await client.until_end(4)
        return frame

    frame = talk(script, backend)
    assert (frame.type, frame.meta["code"], frame.meta["retryable"]) == (FrameType.ERROR, "overloaded", True)
    assert frame.meta["retry_after_ms"] > 0


def test_draining_says_goaway_then_closes_with_1001():
    async def script(client, cloud):
        asyncio.get_running_loop().create_task(cloud.app.drain(1.0))
        frame = await client.read()
        return frame.name, frame.stream, await client.closed_with()

    async def main():
        async with running_cloud() as cloud, raw_client(cloud.url) as client:
            return await script(client, cloud)

    assert asyncio.run(main()) == ("GOAWAY", 0, 1001)
