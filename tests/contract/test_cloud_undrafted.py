"""Where no draft pays, a device that could draft asks the cloud exactly as one that cannot."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from clouds import ENCODER, HIDDEN
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.engines.draft_length import Seen
from edge_agent.transport import features
from edge_agent.transport.client import CloudClient
from edge_agent.types import Decision, Embeddings, Route, TokenEvent
from scripted import WELCOME, Peer, scripted_cloud

TOKENIZER = "0123456789abcdef"
QUESTIONS = 3


class Untouched:
    """A device that could draft, and fails the test if it is asked to."""

    tokenizer_id = TOKENIZER

    async def draft(self, query: Query) -> AsyncGenerator[TokenEvent, None]:
        raise AssertionError("nothing is to be gained")
        yield TokenEvent(0, "", 0.0, 0.0)


def without_time(meta: dict[str, Any]) -> dict[str, Any]:
    budget = {name: value for name, value in meta.get("budget", {}).items() if name != "deadline_ms"}
    return {name: value for name, value in meta.items() if name not in ("turn_id", "budget")} | budget


async def asked_up(verify: str, sends: bool) -> list[tuple[object, ...]]:
    """The frames of QUESTIONS turns as the cloud got them; each about another picture, or about none."""
    welcome = dataclasses.replace(WELCOME, features=(features.DRAFT,), tokenizer_id=TOKENIZER)
    got: list[tuple[object, ...]] = []

    async def script(peer: Peer) -> None:
        await peer.welcome(welcome)
        for stream in range(1, QUESTIONS + 1):
            await peer.question()
            await peer.answer(1, stream)
        while await peer.read() is not None:
            pass
        got.extend((f.type, f.stream, f.seq, without_time(dict(f.meta)), f.payload) for f in peer.frames)

    async with scripted_cloud(script) as url:
        engine = CloudEngine(CloudClient(url), SystemClock(), drafter=Untouched(), verify=verify)
        for _ in range(20):  # answers of one word over a link that takes no time
            engine.drafts.answered(Seen(900, 4.0, 1.0, 0.0, 30.0, 5.0, 1, tokens=1))
        engine.drafts.device_took(30.0, 5.0)
        for number in range(QUESTIONS):
            data = np.full((4, HIDDEN), number + 1, np.float32)
            query = Query(f"what is {number}?", (Embeddings(data, ENCODER),) if sends else ())
            async for _ in engine.generate(query, Decision(Route.CLOUD, "test", "test")):
                pass
        await engine.close()
    return got


@pytest.mark.parametrize("sends", [True, False], ids=["about pictures", "about nothing"])
def test_where_no_draft_pays_every_frame_is_that_of_a_device_that_cannot_draft(sends: bool) -> None:
    plain, verified = (asyncio.run(asked_up(verify, sends)) for verify in ("off", "auto"))
    assert len(plain) > QUESTIONS
    assert verified == plain
