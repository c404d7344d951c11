"""The seam of every engine: a query with its embeddings goes in, tokens and then one Generation come out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.transport.spent import Spent
from edge_agent.types import U8, Decision, Embeddings, Generation, TokenEvent, Turn
from edge_agent.vlm.choice import GREEDY, Choice


@dataclass(frozen=True, slots=True)
class Detail:
    """A grid of `rows` x `columns` tiles of a picture; `encode` makes them, row by row."""

    rows: int
    columns: int
    encode: Callable[[], Awaitable[tuple[Embeddings, ...]]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is to be said. `max_new_tokens` None: as configured. With a `schema` (see vlm.schema) it is JSON
    of that form: only the device's own decoder can be held to one. `choice` and `stop` hold on the device; a cloud
    answers with its likeliest words.
    """

    max_new_tokens: int | None = None
    choice: Choice = GREEDY
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None


PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Query:
    """One question, ready for a decoder. `deadline_s` is in monotonic seconds of the agent's clock.

    `detail` makes the detail views of its picture, for an engine that reads them; None where there are none. `draft`:
    the token ids of the device's own answer, where it was made before the cloud is asked. `picture` is [H, W, 3] uint8
    BGR, for one that sends the picture itself. An engine adds to `spent` what it sent, also where it is left.
    """

    question: str
    embeddings: tuple[Embeddings, ...]
    history: tuple[Turn, ...] = ()
    max_new_tokens: int = 16
    deadline_s: float | None = None
    max_cost_usd: float | None = None
    detail: Detail | None = None
    manner: Manner = PLAIN
    draft: tuple[int, ...] | None = None
    picture: U8 | None = None
    spent: Spent = field(default_factory=Spent, compare=False)


class Engine(Protocol):
    """Something that answers. `sends_pictures`: it wants the picture itself, and does not wait for its embeddings."""

    name: str
    sends_pictures: bool

    def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        """Stream the tokens, then exactly one Generation. Closing the iterator cancels within one token.

        Raises ModelError or CloudError.
        """
        ...

    async def close(self) -> None:
        """Let go of threads, sessions and connections. May be called twice."""
        ...
