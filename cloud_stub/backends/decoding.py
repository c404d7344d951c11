"""The answers of all sessions, decoded side by side in one thread; each is asked for and read in its own."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol

from cloud_stub.backends.base import Prompt
from edge_agent.types import Embeddings, TokenEvent, Turn
from edge_agent.vlm.batch import Stepper
from edge_agent.vlm.continuous import ContinuousBatch, Underway

SIDE_BY_SIDE = 8


class Reader(Protocol):
    """What of vlm.Generator is used."""

    @property
    def decoder(self) -> Stepper: ...

    def begin(
        self,
        embeddings: Sequence[Embeddings],
        question: str,
        *,
        history: Sequence[Turn],
        max_new_tokens: int,
        draft: Sequence[int],
        owner: str,
    ) -> Underway: ...


class _Asked:
    """One question, from where it waits to its last token."""

    def __init__(self, prompt: Prompt, cancelled: Callable[[], bool]) -> None:
        self.prompt = prompt
        self.underway: Underway | None = None
        self._cancelled = cancelled
        self._left = False
        self._told = 0
        self._out: SimpleQueue[TokenEvent | Exception | None] = SimpleQueue()  # at most max_new_tokens and an end

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._left or self._cancelled()

    def events(self) -> Iterator[TokenEvent]:
        """Of the thread that asks."""
        try:
            while (item := self._out.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self._left = True

    def tell(self) -> None:
        """What is new goes out."""
        assert self.underway is not None
        events = self.underway.answer.events
        for event in events[self._told :]:
            self._out.put(event)
        self._told = len(events)

    def end(self, error: Exception | None = None) -> None:
        self._out.put(error)


class Waiting:
    """Questions that wait: those of one tenant in their order, tenants in turn. Bounded by who fills it."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[_Asked]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._tenants)

    def put(self, one: _Asked) -> None:
        self._tenants.setdefault(one.prompt.tenant, deque()).append(one)

    def take(self) -> _Asked:
        """The next one; its tenant goes to the end of the line."""
        tenant, line = self._tenants.popitem(last=False)
        one = line.popleft()
        if line:
            self._tenants[tenant] = line
        return one


class Decoding:
    """Decodes at most `most` answers side by side. A question waits until one of them ends. Prompts go before tokens,
    since the fuller the batch, the less a token costs; who runs waits for at most `most` of them. Whoever is cancelled
    leaves before the next token and disturbs nobody.

    The thread begins with the first question and ends when there is none.
    """

    def __init__(self, reader: Reader, most: int = SIDE_BY_SIDE) -> None:
        self._reader = reader
        self._most = most
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._runs = False

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        """The tokens of one answer; any number of threads may ask. The first raises what is wrong."""
        one = _Asked(prompt, cancelled)
        with self._lock:
            self._waiting.put(one)
            begins, self._runs = not self._runs, True
        if begins:
            threading.Thread(target=self._run, name="decode side by side").start()
        return one.events()

    def _run(self) -> None:
        batch, running = ContinuousBatch(self._reader.decoder), list[_Asked]()
        while self._more(running):
            for _ in range(self._most - len(running)):
                if (newcomer := self._next()) is None:
                    break
                if self._begin(newcomer):
                    assert newcomer.underway is not None
                    running.append(newcomer)
                    batch.add(newcomer.underway)
            running = self._stepped(batch, running)

    def _more(self, running: list[_Asked]) -> bool:
        with self._lock:
            self._runs = bool(running) or bool(self._waiting)
            return self._runs

    def _next(self) -> _Asked | None:
        """The next question that somebody still waits for; None for none."""
        while True:
            with self._lock:
                one = self._waiting.take() if self._waiting else None
            if one is None or not one.gone:
                return one
            one.end()

    def _begin(self, one: _Asked) -> bool:
        """Read its prompt; False if it has ended by that already."""
        asked = one.prompt
        try:
            one.underway = self._reader.begin(
                asked.embeddings,
                asked.question,
                history=asked.history,
                max_new_tokens=asked.max_new_tokens,
                draft=asked.draft,
                owner=asked.tenant,
            )
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            one.end(error)
            return False
        one.tell()
        if one.underway.token is None:
            one.end()
        return one.underway.token is not None

    def _stepped(self, batch: ContinuousBatch, running: list[_Asked]) -> list[_Asked]:
        """Those that still run after one more token of each that somebody waits for."""
        gone = {id(one.underway): one for one in running if one.gone}
        for one in gone.values():
            one.end()
        batch.keep(lambda lane: id(lane) not in gone)
        stay = [one for one in running if id(one.underway) not in gone]
        if not stay:
            return []
        try:
            batch.step()
        except Exception as error:  # noqa: BLE001 - raised again in each thread that asked
            for one in stay:
                one.end(error)
            batch.keep(lambda _: False)
            return []
        for one in stay:
            one.tell()
        left = {id(lane) for lane in batch.lanes}
        for one in stay:
            if id(one.underway) not in left:
                one.end()
        return [one for one in stay if id(one.underway) in left]
