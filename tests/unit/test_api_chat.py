"""Chats with a scripted agent over real HTTP: whole and streamed answers, failures on the way, clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import CLOUD, SURE, UNSURE, Bench, FixedPolicy, GreyExtractor, frame, tone
from apis import asking, audio_part, events_of, image_part, picture, serving, sound
from edge_agent.config import ApiSettings
from edge_agent.engines.base import Query
from edge_agent.engines.scripted import Script, ScriptedEngine
from edge_agent.errors import CloudError, ModelError, NoAnswerError
from edge_agent.types import Decision, Generation, ImageFeatures, MotionFeatures, Route, SystemState, TokenEvent

REACHABLE = SystemState(cloud_configured=True, cloud_reachable=True)
CHAT = "/v1/chat/completions"
PICTURE = image_part(picture())


class BreaksAfter(ScriptedEngine):
    """A cloud that says some words and is gone."""

    said: tuple[str, ...] = ()

    async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        for at, word in enumerate(self.said):
            yield TokenEvent(at, f" {word}", 0.9, 0.1)
        raise CloudError("the connection was lost", code="closed")


def ask(agent: Any, body: dict[str, Any]) -> tuple[int, Any, Any]:
    """(status, headers, body) of one request; of a stream, its events."""

    async def go() -> tuple[int, Any, Any]:
        async with (
            serving(agent) as (_, client),
            client.post(CHAT, json=body) as got,
        ):
            if got.content_type == "text/event-stream":
                return got.status, got.headers, events_of(await got.text())
            return got.status, got.headers, await got.json()

    return asyncio.run(go())


def said(events: list[Any]) -> str:
    """The text of a stream, as a client puts it together."""
    deltas = [choice["delta"] for one in events if one != "[DONE]" for choice in one.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


def local(*words: str, end: Generation = SURE) -> Bench:
    return Bench(FixedPolicy(Route.LOCAL), local_scripts=(Script(words, end),))


def test_a_completion_has_the_shape_that_clients_read() -> None:
    end = Generation("", 0.9, 0.01, 0, prompt_tokens=58)
    status, headers, body = ask(local("a", "red", "cup", end=end).agent, asking(PICTURE))
    assert status == 200
    assert headers["x-edge-route"] == "local"
    assert (body["object"], body["model"]) == ("chat.completion", "edge-agent")
    assert body["id"].startswith("chatcmpl-")
    (choice,) = body["choices"]
    assert choice["message"]["content"] == "a red cup"
    assert (choice["message"]["role"], choice["finish_reason"], choice["index"]) == ("assistant", "stop", 0)
    assert body["usage"] == {"prompt_tokens": 58, "completion_tokens": 3, "total_tokens": 61}
    assert body["edge"]["route"] == "local"
    assert body["edge"]["about"] == "the picture sent"
    assert body["edge"]["reason"]


def test_a_stream_is_role_words_end_usage_done() -> None:
    body = asking(PICTURE, stream=True, stream_options={"include_usage": True})
    status, headers, events = ask(local("a", "red", "cup").agent, body)
    assert status == 200
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["x-edge-route"] == "local"
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert said(events) == "a red cup"
    assert sum(bool(said([one])) for one in events) == 3
    assert events[-3]["choices"][0]["finish_reason"] == "stop"
    assert events[-3]["edge"]["route"] == "local"
    assert (events[-2]["choices"], events[-2]["usage"]["completion_tokens"]) == ([], 3)
    assert events[-1] == "[DONE]"
    assert all(one["object"] == "chat.completion.chunk" for one in events[:-1])
    assert len({one["id"] for one in events[:-1]}) == 1


def test_usage_comes_only_where_it_is_asked_for() -> None:
    _, _, events = ask(local("cup").agent, asking(PICTURE, stream=True))
    assert all(one["choices"] for one in events[:-1])


WORDS = st.lists(st.text("abc", min_size=1, max_size=3), max_size=4).map(tuple)


@settings(max_examples=40, deadline=None)
@given(WORDS, WORDS.filter(bool), st.sampled_from([Route.CLOUD, Route.CASCADE]))
def test_no_word_that_does_not_stand_is_ever_in_a_stream(cloud: Any, device: Any, route: Route) -> None:
    """A cloud that breaks at any word, a draft that is thrown away: the client sees the answer and nothing else."""
    bench = Bench(FixedPolicy(route, accept_entropy=0.0), state=REACHABLE, local_scripts=(Script(device, UNSURE),))
    breaking = BreaksAfter("cloud", bench.clock)
    breaking.said = cloud
    object.__setattr__(bench.agent._parts, "cloud", breaking)
    status, headers, events = ask(bench.agent, asking(PICTURE, stream=True))
    assert status == 200
    assert headers["x-edge-route"] == "local"
    assert said(events) == " ".join(device)
    for one in events[:-1]:
        assert " ".join(device).startswith(said(events[: events.index(one) + 1]))


def test_a_draft_that_the_cloud_overrules_is_not_told() -> None:
    policy = FixedPolicy(Route.CASCADE, accept_entropy=0.1)
    bench = Bench(policy, state=REACHABLE, local_scripts=(Script(("dog",), UNSURE),))
    _, headers, events = ask(bench.agent, asking(PICTURE, stream=True))
    assert headers["x-edge-route"] == "cloud"
    assert said(events) == "cat"
    assert "dog" not in json.dumps([one for one in events if one != "[DONE]" and "edge" not in one])
    assert events[-2]["edge"]["bytes_up"] == CLOUD.bytes_up


PROVISIONAL = {"edge": {"provisional": True}}


def overruled() -> Bench:
    policy = FixedPolicy(Route.CASCADE, accept_entropy=0.1)
    return Bench(policy, state=REACHABLE, local_scripts=(Script(("dog",), UNSURE),))


def test_who_asks_for_provisional_words_gets_them_in_an_event_that_is_no_chunk() -> None:
    async def go() -> str:
        body = asking(PICTURE, stream=True, **PROVISIONAL)
        async with serving(overruled().agent) as (_, client), client.post(CHAT, json=body) as got:
            return await got.text()

    text = asyncio.run(go())
    (event,) = [one for one in text.split("\n\n") if "dog" in one and '"finish_reason": "stop"' not in one]
    assert event.startswith("event: provisional\ndata: ")
    events = events_of(text)
    told = next(one for one in events if "provisional" in one)
    assert told == {"object": "edge.provisional", "choices": [], "provisional": "dog"}
    assert events.index(told) < next(at for at, one in enumerate(events) if said([one]))
    assert said(events) == "cat"


@pytest.mark.parametrize("more", [{"stream": True}, PROVISIONAL, {}], ids=["not asked for", "no stream", "neither"])
def test_provisional_words_are_told_to_nobody_else(more: dict[str, Any]) -> None:
    _, _, got = ask(overruled().agent, asking(PICTURE, **more))
    assert '"provisional"' not in json.dumps(got)


def test_a_wish_for_provisional_words_that_is_no_flag_is_refused() -> None:
    status, _, body = ask(overruled().agent, asking(PICTURE, edge={"provisional": "yes"}))
    assert status == 400
    assert "edge.provisional" in body["error"]["message"]


def test_the_clouds_words_are_cut_at_a_stop_that_it_does_not_know() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD), state=REACHABLE, cloud_scripts=(Script(("a", "cat.", "Or"), CLOUD),))
    for stream in (False, True):
        _, _, got = ask(bench.agent, asking(PICTURE, stream=stream, stop=["."]))
        assert (said(got) if stream else got["choices"][0]["message"]["content"]) == "a cat"


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


def test_the_camera_and_the_microphone_are_asked_about_now() -> None:
    async def go() -> None:
        bench = Bench(FixedPolicy(Route.LOCAL))
        async with serving(bench.agent) as (api, client):
            body = asking({"type": "camera"}, {"type": "microphone"})
            async with client.post(CHAT, json=body) as got:
                assert (got.status, (await got.json())["error"]["code"]) == (400, "no_camera")
            senses = api.senses
            senses.watching = senses.listening = True
            async with client.post(CHAT, json=body) as got:
                assert (got.status, (await got.json())["error"]["code"]) == (503, "no_signal")
            features = ImageFeatures(8, 8, 1.0, None, 0.0, 0.0)  # type: ignore[arg-type]
            for item in (frame(10), frame(200)):
                senses.look_back.add(item)
                senses.saw(item, features, MotionFeatures(0.0, 0.0, None, True))  # type: ignore[arg-type]
            senses.look_back.add(tone(0.1))
            senses.heard(tone(0.1), GreyExtractor().sound(tone(0.1).samples, 16000))
            async with client.post(CHAT, json=asking({"type": "camera"})) as got:
                assert (await got.json())["edge"]["about"] == "the camera"
            assert bench.local.queries[-1].embeddings[0].data[0, 0] == 200
            async with client.post(CHAT, json={"messages": [{"role": "user", "content": "what is it?"}]}) as got:
                assert (await got.json())["edge"]["about"].startswith("this moment")
            assert len(bench.local.queries) == 2

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


def test_a_sound_that_was_sent_is_what_the_agent_hears() -> None:
    bench = local("speech")
    bench.local.encodable = (*bench.local.encodable, bench.local.encodable[0].__class__("audio"))
    status, _, body = ask(bench.agent, asking(audio_part(sound())))
    assert (status, body["edge"]["about"]) == (200, "the sound sent")
    assert bench.local.encoded == 1


def test_a_private_question_leaves_no_words_in_the_records() -> None:
    async def go() -> None:
        async with serving(local("cup").agent) as (api, client):
            for edge in ({"privacy": "private"}, {}):
                async with client.post(CHAT, json=asking(PICTURE, edge=edge)) as got:
                    assert got.status == 200
            assert [record.question for record in api.desk.records] == [None, "what is in the picture?"]

    asyncio.run(go())
