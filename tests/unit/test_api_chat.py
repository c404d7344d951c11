"""Chats with a scripted agent over real HTTP: whole and streamed answers, and what they are about."""

from __future__ import annotations

import asyncio

from agents import CLOUD, Bench, FixedPolicy, GreyExtractor, frame, tone
from apis import asking, audio_part, serving, sound
from chats import CHAT, PICTURE, REACHABLE, ask, local, said
from edge_agent.engines.scripted import Script
from edge_agent.types import Generation, ImageFeatures, MotionFeatures, Route


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


def test_the_clouds_words_are_cut_at_a_stop_that_it_does_not_know() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD), state=REACHABLE, cloud_scripts=(Script(("a", "cat.", "Or"), CLOUD),))
    for stream in (False, True):
        _, _, got = ask(bench.agent, asking(PICTURE, stream=stream, stop=["."]))
        assert (said(got) if stream else got["choices"][0]["message"]["content"]) == "a cat"


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
