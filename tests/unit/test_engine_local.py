"""The engine on the device says why an answer ended: by itself, by a stop string, or by its number of tokens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from edge_agent.clock import SystemClock
from edge_agent.engines.base import Manner, Query
from edge_agent.engines.local import LocalEngine
from edge_agent.types import Decision, Generation, Route, TokenEvent
from edge_agent.vlm import Bundle, find_bundle, summarise
from edge_agent.vlm.answering import FreeAnswer, Rules
from edge_agent.vlm.choice import GREEDY, Picker
from edge_agent.vlm.words import WholeText, Words

END = 3


class Speller:
    """A model that says "a cat." letter by letter; what it makes of tokens is that of the runtime."""

    def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]:
        words = Words(WholeText(lambda ids: "".join(map(chr, ids))), query.manner.stop)
        answer = FreeAnswer(Rules(query.max_new_tokens, (END,), False, 1.0), Picker(GREEDY), words)
        for token in (*map(ord, "a cat."), END):
            going = answer.add(token, 0.9, 0.1)
            yield from answer.events[-1:]
            if not going:
                return

    def summarise(self, tokens: list[TokenEvent], question: str) -> Generation:
        calibration = Bundle.open(find_bundle("edge-vqa")).calibration
        assert END in calibration.eos_token_ids
        return summarise(tokens, calibration)

    def prompt_tokens(self, query: Query) -> int:
        return 1


@pytest.mark.parametrize(
    ("stop", "most", "text", "reason"),
    [
        ((), 16, "a cat.", "stop"),
        ((), 3, "a c", "length"),
        (("at",), 16, "a c", "stop"),
        (("no",), 3, "a c", "length"),
    ],
)
def test_an_answer_that_a_stop_string_ends_was_not_cut_by_its_length(
    stop: tuple[str, ...], most: int, text: str, reason: str
) -> None:
    async def go() -> Generation:
        engine = LocalEngine(Speller(), SystemClock())  # type: ignore[arg-type]
        query = Query("what is it?", (), max_new_tokens=most, manner=Manner(stop=stop))
        made = [one async for one in engine.generate(query, Decision(Route.LOCAL, "local", ""))]
        await engine.close()
        assert isinstance(made[-1], Generation)
        return made[-1]

    end = asyncio.run(go())
    assert (end.text, end.finish_reason) == (text, reason)
