"""Answers of several sessions in one batch: bounded, in turn, one's end or failure is not another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.decoding import Decoding
from clouds import until
from edge_agent.errors import CloudError, ModelError
from edge_agent.types import TokenEvent
from edge_agent.vlm.continuous import Underway
from edge_agent.vlm.decoder import KeyValueCache


class Counting:
    """An answer that counts up to its number of tokens."""

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most, self.events = name, most, list[TokenEvent]()

    def take(self, logits: np.ndarray) -> list[int]:
        self.events.append(TokenEvent(len(self.events), self.name, 0.5, 0.5))
        return [] if len(self.events) == self.most else [len(self.events)]


class FakeReader:
    """Notes whose prompt was read when and who ran in each step; a step waits until the test lets it go."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.steps: list[int] = []
        self.may_step = threading.Semaphore(0)
        self.fail_step: Exception | None = None
        self.decoder = self

    def begin(self, embeddings: object, question: str, *, max_new_tokens: int, **_: object) -> Underway:
        self.read.append(question)
        if question == "broken":
            raise ModelError("this picture cannot be read", "")
        answer = Counting(question, max_new_tokens)
        ids = answer.take(np.zeros(1))
        length = 2 + len(self.read)
        cache = KeyValueCache((np.zeros((1, 1, length, 1), np.float32),), length)
        return Underway(answer, ids[0] if ids else None, length, cache)

    def embed(self, ids: Sequence[int]) -> np.ndarray:
        return np.zeros((len(ids), 1), np.float32)

    def next(self, token_id, position, cache):
        mask = np.ones((1, cache.length + 1), np.int64)
        logits, longer = self.step_all(np.zeros((1, 1), np.float32), None, mask, cache)
        return logits[0], longer

    def step_all(self, embeds, positions, mask, cache, lengths=None):
        assert self.may_step.acquire(timeout=30)
        if self.fail_step is not None:
            raise self.fail_step
        self.steps.append(len(embeds))
        assert mask.shape == (len(embeds), cache.length + 1)
        longer = tuple(np.concatenate([one, one[:, :, :1] * 0], axis=2) for one in cache.tensors)
        return np.zeros((len(embeds), 1), np.float32), KeyValueCache(longer, cache.length + 1)


class Asked:
    """One question in a thread of its own."""

    def __init__(self, decoding: Decoding, question: str, most: int = 4, tenant: str = "") -> None:
        self.said: list[str] = []
        self.error: Exception | None = None
        self.cancelled = threading.Event()
        prompt = Prompt((), question, (), most, tenant=tenant)
        self._events = decoding.stream(prompt, self.cancelled.is_set)  # waits from here on
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self.said += [event.text for event in self._events]
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def end(self) -> list[str]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.said


def wait(holds: Callable[[], object]) -> None:
    asyncio.run(asyncio.wait_for(until(holds), 30))


def test_those_that_wait_at_the_same_time_run_in_one_batch_and_no_more_than_allowed():
    reader = FakeReader()
    asked = [Asked(decoding, f"q{n}", 6) for decoding in [Decoding(reader, 3)] for n in range(5)]
    reader.may_step.release(100)
    assert [one.end() for one in asked] == [[f"q{n}"] * 6 for n in range(5)]
    assert max(reader.steps) == 3
    assert sum(reader.steps) == 5 * 5  # the first token of each comes with its prompt
    assert reader.read == [f"q{n}" for n in range(5)]


def test_an_answer_of_one_token_never_joins():
    reader = FakeReader()
    assert Asked(Decoding(reader), "short", 1).end() == ["short"]
    assert reader.steps == []


def test_tenants_take_turns():
    reader = FakeReader()
    decoding = Decoding(reader, 1)
    first = Asked(decoding, "first")
    wait(lambda: reader.read)
    greedy = [Asked(decoding, f"a{n}", 2, "a") for n in range(3)]
    modest = [Asked(decoding, "b0", 2, "b"), Asked(decoding, "c0", 2, "c")]
    reader.may_step.release(100)
    for one in (first, *greedy, *modest):
        one.end()
    assert reader.read == ["first", "a0", "b0", "c0", "a1", "a2"]


def test_whoever_is_cancelled_leaves_and_the_others_go_on():
    reader = FakeReader()
    decoding = Decoding(reader, 2)
    stays, goes = Asked(decoding, "stays", 6), Asked(decoding, "goes", 6)
    never = Asked(decoding, "never", 6)
    reader.may_step.release(2)
    wait(lambda: len(reader.steps) == 2)
    goes.cancelled.set()
    never.cancelled.set()
    reader.may_step.release(100)
    assert stays.end() == ["stays"] * 6
    assert len(goes.end()) < 6
    assert never.end() == []
    assert "never" not in reader.read
    assert (stays.error, goes.error, never.error) == (None, None, None)


def test_a_prompt_that_cannot_be_read_is_the_error_of_its_own_question():
    reader = FakeReader()
    decoding = Decoding(reader)
    reader.may_step.release(100)
    one, broken, other = (Asked(decoding, name) for name in ("one", "broken", "other"))
    assert (one.end(), broken.end(), other.end()) == (["one"] * 4, [], ["other"] * 4)
    assert isinstance(broken.error, ModelError)
    assert (one.error, other.error) == (None, None)


def test_a_step_that_fails_ends_those_in_it_and_none_that_come_later():
    reader = FakeReader()
    decoding = Decoding(reader)
    reader.fail_step = CloudError("out of memory", code="internal")
    hit = Asked(decoding, "hit")
    wait(lambda: reader.read)
    reader.may_step.release(1)
    hit.end()
    assert isinstance(hit.error, CloudError)
    reader.fail_step = None
    reader.may_step.release(100)
    assert Asked(decoding, "later").end() == ["later"] * 4


def test_the_thread_ends_with_the_last_question_and_begins_again():
    reader = FakeReader()
    decoding = Decoding(reader)
    reader.may_step.release(100)
    for _ in range(3):
        assert Asked(decoding, "q").end() == ["q"] * 4
        wait(lambda: not any(one.name == "decode side by side" for one in threading.enumerate()))


@pytest.mark.parametrize("tenant", ["", "x"])
def test_a_reader_that_leaves_early_is_not_waited_for(tenant: str):
    reader = FakeReader()
    decoding = Decoding(reader)
    events = decoding.stream(Prompt((), "left", (), 50, tenant=tenant), lambda: False)
    assert next(iter(events)).text == "left"
    events.close()  # type: ignore[attr-defined]
    reader.may_step.release(1)
    assert Asked(decoding, "next", 1).end() == ["next"]
    wait(lambda: not decoding._runs)
    assert len(reader.steps) <= 1
