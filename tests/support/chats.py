"""Chats with an agent over real HTTP: the question, and the text of what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import SURE, Bench, FixedPolicy
from apis import events_of, image_part, picture, serving
from edge_agent.engines.scripted import Script
from edge_agent.types import Generation, Route, SystemState

REACHABLE = SystemState(cloud_configured=True, cloud_reachable=True)
CHAT = "/v1/chat/completions"
PICTURE = image_part(picture())


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
