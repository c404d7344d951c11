"""The turns that this cloud computes: admitted, run in one worker thread, stored so that a replay costs nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cloud_stub.backends.base import Backend, Prompt
from edge_agent.errors import CloudError, EdgeAgentError
from edge_agent.transport.answers import Done, Usage
from edge_agent.transport.codecs import EncodedTensor, decode_views
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import TurnOpening
from edge_agent.types import TokenEvent

log = logging.getLogger("cloud_stub")

STORED_S = 600.0
STORED_TURNS = 1024
TurnKey = tuple[str, str]
"""Who asks (token and device) and the turn id: nobody can read another's answers."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-dollars per 1,000 tokens."""

    prompt: int = 0
    completion: int = 0

    def cost_microusd(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Rounded up to a whole micro-dollar."""
        return -(-(prompt_tokens * self.prompt + completion_tokens * self.completion) // 1000)

    def affordable(self, prompt_tokens: int, max_cost_microusd: int | None, max_tokens: int) -> int:
        """How many tokens of answer, at most `max_tokens`, fit under the cost; 0 if none does."""
        if max_cost_microusd is None:
            return max_tokens
        left = max_cost_microusd * 1000 - prompt_tokens * self.prompt
        if left < 0:
            return 0
        return max_tokens if self.completion == 0 else min(max_tokens, left // self.completion)


class TurnRecord:
    """One turn, computed once, followed by any number of sessions. Lives on the event loop's thread."""

    def __init__(self, opening: TurnOpening) -> None:
        self.opening = opening
        self.events: list[TokenEvent] = []
        self.ending: tuple[Usage, Done] | None = None
        self.error: CloudError | None = None
        self.ended_s = 0.0
        self.followers = 0
        self.cancelled = threading.Event()
        self._changed = asyncio.Event()

    def add(self, event: TokenEvent) -> None:
        self.events.append(event)
        self.notify()

    def notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncGenerator[list[TokenEvent], None]:
        """Tokens in batches, from the first on, until the end. The last follower to leave early cancels the turn."""
        self.followers += 1
        sent = 0
        try:
            while True:
                changed = self._changed
                if sent < len(self.events):
                    batch, sent = self.events[sent:], len(self.events)
                    yield batch
                elif self.ending is not None or self.error is not None:
                    return
                else:
                    await changed.wait()
        finally:
            self.followers -= 1
            if self.followers == 0:
                self.cancelled.set()


class TurnDesk:
    """Admits turns up to `max_in_flight`, runs them one after another, keeps finished ones for STORED_S."""

    def __init__(
        self,
        backend: Backend,
        *,
        prices: Prices | None = None,
        limits: Limits | None = None,
        max_in_flight: int = 8,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backend = backend
        self.prices = prices or Prices()
        self.limits = limits or Limits()
        self.in_flight = 0
        self.computed = 0
        self.billed_microusd = 0
        self._max_in_flight = max_in_flight
        self._monotonic_s = monotonic_s
        self._records: OrderedDict[TurnKey, TurnRecord] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")

    def admit(self) -> bool:
        """Take a place; whoever got one gives it back with `leave`."""
        if self.in_flight >= self._max_in_flight:
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        self.in_flight -= 1

    def stored(self, key: TurnKey, opening: TurnOpening) -> TurnRecord | None:
        """The turn of that key, running or finished. Raises CloudError if the id was used for another question."""
        self._forget_old()
        record = self._records.get(key)
        if record is None:
            return None
        if (record.opening.question, record.opening.history, record.opening.tensors) != (
            opening.question,
            opening.history,
            opening.tensors,
        ):
            raise CloudError("this turn_id was used for another question", code="bad_request", retryable=False)
        return None if record.cancelled.is_set() and record.ending is None else record

    def start(self, key: TurnKey, opening: TurnOpening, tensors: tuple[EncodedTensor, ...]) -> TurnRecord:
        """Compute a turn, unless it is already known: then that one."""
        known = self.stored(key, opening)
        if known is not None:
            return known
        record = self._records[key] = TurnRecord(opening)
        task = asyncio.get_running_loop().create_task(self._run(key, record, tensors))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return record

    async def close(self) -> None:
        """Cancel what runs, wait for it, and end the worker thread."""
        for record in self._records.values():
            record.cancelled.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._worker.shutdown(wait=True)

    async def _run(self, key: TurnKey, record: TurnRecord, tensors: tuple[EncodedTensor, ...]) -> None:
        loop = asyncio.get_running_loop()
        work = _Work(self.backend, self.prices, self.limits, record, tensors, loop)
        try:
            record.ending = await loop.run_in_executor(self._worker, work.compute)
            self.computed += 1
            self.billed_microusd += record.ending[0].cost_microusd
        except CloudError as error:
            record.error = error
        except EdgeAgentError as error:
            record.error = CloudError(str(error), code="bad_request", retryable=False)
        except Exception as error:  # the border of the model: logged, and the client gets a typed error
            log.exception("a turn failed in the model")
            record.error = CloudError(f"the model failed ({type(error).__name__})", code="internal")
        finally:
            record.ended_s = self._monotonic_s()
            if record.ending is None and self._records.get(key) is record:
                del self._records[key]
            elif record.ending is not None:
                self._records.move_to_end(key)
            record.notify()

    def _forget_old(self) -> None:
        oldest_s = self._monotonic_s() - STORED_S
        for key, record in list(self._records.items()):
            if record.ending is not None and (record.ended_s < oldest_s or len(self._records) > STORED_TURNS):
                del self._records[key]


class _Work:
    """The part of a turn that runs in the worker thread."""

    def __init__(
        self,
        backend: Backend,
        prices: Prices,
        limits: Limits,
        record: TurnRecord,
        tensors: tuple[EncodedTensor, ...],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._backend = backend
        self._prices = prices
        self._limits = limits
        self._record = record
        self._tensors = tensors
        self._loop = loop
        self._asked_s = time.monotonic()

    def compute(self) -> tuple[Usage, Done]:
        """Decode the tensors, then the answer. Raises CloudError `cancelled` when the last follower left."""
        began_s = time.monotonic()
        self._stop_if_cancelled()
        prompt, prompt_tokens = self._prompt()
        events: list[TokenEvent] = []
        first_s = began_s
        for event in self._backend.stream(prompt, self._record.cancelled.is_set):
            if not events:
                first_s = time.monotonic()
            events.append(event)
            self._loop.call_soon_threadsafe(self._record.add, event)
        self._stop_if_cancelled()
        generation = self._backend.summarise(events)
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=len(events),
            cost_microusd=self._prices.cost_microusd(prompt_tokens, len(events)),
            queue_ms=(began_s - self._asked_s) * 1000,
            first_token_ms=(first_s - began_s) * 1000,
            decode_ms=(time.monotonic() - first_s) * 1000,
        )
        return usage, Done(len(events), generation.finish_reason, generation.confidence, generation.max_entropy)

    def _prompt(self) -> tuple[Prompt, int]:
        opening = self._record.opening
        embeddings = tuple(view for tensor in self._tensors for view in decode_views(tensor, self._limits))
        prompt = Prompt(embeddings, opening.question, opening.history, opening.max_tokens)
        prompt_tokens = self._backend.prompt_tokens(prompt)
        most = self._prices.affordable(prompt_tokens, opening.max_cost_microusd, opening.max_tokens)
        if most < 1:
            text = f"{opening.max_cost_microusd} micro-dollars do not pay for {prompt_tokens} tokens and an answer"
            raise CloudError(text, code="over_budget", retryable=False)
        return Prompt(embeddings, opening.question, opening.history, most), prompt_tokens

    def _stop_if_cancelled(self) -> None:
        if self._record.cancelled.is_set():
            raise CloudError("nobody waits for this answer any more", code="cancelled", retryable=False)
