"""Words that may not stand: never in a stream, and as events of their own only for who asks for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import CLOUD, UNSURE, Bench, FixedPolicy
from apis import asking, events_of, serving
from chats import CHAT, PICTURE, REACHABLE, ask, said
from edge_agent.engines.base import Query
from edge_agent.engines.scripted import Script, ScriptedEngine
from edge_agent.errors import CloudError
from edge_agent.types import Decision, Generation, Route, TokenEvent


class BreaksAfter(ScriptedEngine):
    """A cloud that says some words and is gone."""

    said: tuple[str, ...] = ()

    async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        for at, word in enumerate(self.said):
            yield TokenEvent(at, f" {word}", 0.9, 0.1)
        raise CloudError("the connection was lost", code="closed")


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
