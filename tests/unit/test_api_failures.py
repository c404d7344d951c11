"""Chats over real HTTP in which something fails: models, clouds, clients that leave, more questions than may wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents import Bench, FixedPolicy
from apis import asking, audio_part, image_part, picture, serving, sound
from chats import CHAT, PICTURE, ask, local
from edge_agent.config import ApiSettings
from edge_agent.engines.scripted import Script
from edge_agent.errors import ModelError, NoAnswerError
from edge_agent.types import Route, TokenEvent


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NoAnswerError("the time ran out"), 503, "server_error"),
        (ModelError("the model is damaged"), 500, "server_error"),
    ],
)
def test_what_fails_before_the_first_word_is_an_http_error(stream: bool, error: Any, status: int, kind: str) -> None:
    bench = Bench(FixedPolicy(Route.LOCAL), local_scripts=(Script(error=error),))
    got, headers, body = ask(bench.agent, asking(PICTURE, stream=stream))
    assert (got, body["error"]["type"]) == (status, kind)
    assert body["error"]["message"].startswith(error.message)
    assert headers["x-should-retry"] == "false"


def test_what_fails_between_words_ends_the_stream_with_an_error_event() -> None:
    class Fails:
        async def ask(self, observation: Any, limits: Any, on_token: Any = None, **_: Any) -> Any:
            on_token(Route.LOCAL, TokenEvent(1, "a", 0.9, 0.1))
            await asyncio.sleep(0.05)
            raise NoAnswerError("the time ran out")

    status, _, events = ask(Fails(), asking(PICTURE, stream=True))
    assert status == 200
    assert events[-1]["error"]["message"] == "the time ran out"
    assert "[DONE]" not in events


def test_a_client_that_leaves_cancels_its_question_and_the_next_is_answered() -> None:
    async def go() -> None:
        began, cancelled = asyncio.Event(), asyncio.Event()

        class Slow:
            async def ask(self, observation: Any, limits: Any, on_token: Any = None, **_: Any) -> Any:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

        async with serving(Slow()) as (api, client):
            for stream in (False, True):
                began.clear()
                cancelled.clear()
                asked = asyncio.create_task(client.post(CHAT, json=asking(PICTURE, stream=stream)))
                await began.wait()
                asked.cancel()
                await asyncio.wait_for(cancelled.wait(), 20)
                while api.desk.inside:  # noqa: ASYNC110 - the handler's clean-up knows nothing of this test
                    await asyncio.sleep(0.005)
            api.desk.open(local("cup").agent)
            async with client.post(CHAT, json=asking(PICTURE)) as got:
                assert (await got.json())["choices"][0]["message"]["content"] == "cup"
            assert 'outcome="cancelled"} 2.0' in api.metrics.text().decode()

    asyncio.run(go())


def test_more_questions_than_may_wait_are_refused_with_when_to_come_again() -> None:
    async def go() -> None:
        free = asyncio.Event()
        agent = local("cup").agent

        class Gated:
            async def ask(self, *given: Any, **named: Any) -> Any:
                await free.wait()
                return await agent.ask(*given, **named)

        async with serving(Gated(), ApiSettings(waiting=1)) as (api, client):
            waiting = [asyncio.create_task(client.post(CHAT, json=asking(PICTURE))) for _ in range(2)]
            while api.desk.inside < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
            async with client.post(CHAT, json=asking(PICTURE)) as got:
                assert got.status == 429
                assert got.headers["Retry-After"] == "1"
                assert (await got.json())["error"]["code"] == "busy"
            free.set()
            assert [(await one).status for one in waiting] == [200, 200]

    asyncio.run(go())


def test_waiting_counts_against_the_deadline() -> None:
    async def go() -> None:
        class Never:
            async def ask(self, *_: Any, **__: Any) -> Any:
                await asyncio.Event().wait()

        async with serving(Never()) as (_, client):
            first = asyncio.create_task(client.post(CHAT, json=asking(PICTURE)))
            await asyncio.sleep(0.05)
            async with client.post(CHAT, json=asking(PICTURE, edge={"deadline_ms": 50})) as got:
                assert got.status == 503
                assert "while other questions" in (await got.json())["error"]["message"]
            first.cancel()

    asyncio.run(go())


def test_before_the_model_is_open_and_after_the_end_questions_are_refused_and_said_to_come_again() -> None:
    async def go() -> None:
        async with serving(None) as (api, client):
            async with client.post(CHAT, json=asking(PICTURE)) as got:
                assert (got.status, got.headers["Retry-After"]) == (503, "1")
            async with client.get("/readyz") as got:
                assert got.status == 503
                assert "model is being opened" in (await got.json())["reasons"][0]
            api.desk.open(local("cup").agent)
            await api.desk.drain(1.0)
            async with client.post(CHAT, json=asking(PICTURE)) as got:
                assert "stopping" in (await got.json())["error"]["message"]

    asyncio.run(go())


def test_a_damaged_picture_or_sound_is_one_clear_line() -> None:
    agent = local("cup").agent
    for part, words in (
        (image_part(picture()[:200]), "cut short"),
        (image_part(b"GIF89a" + bytes(50)), "not a JPEG"),
        (audio_part(sound()[:30]), "wav"),
        (audio_part(b"RIFF" + bytes(100)), "wav"),
    ):
        status, _, body = ask(agent, asking(part))
        assert status == 400, body
        assert words in body["error"]["message"]
