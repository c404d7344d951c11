"""A start that takes long says what it waits for; one that does not says nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from edge_agent.cli import opening
from edge_agent.cli.opening import Opening
from edge_agent.cli.options import settle
from edge_agent.cli.watching import watch
from edge_agent.sources.base import Item
from waiting import until


class Silent:
    """A source that opens, and gives nothing."""

    async def open(self) -> None: ...

    async def __aiter__(self) -> AsyncIterator[Item]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def close(self) -> None: ...

    def describe(self) -> str:
        return "camera 7"


def words(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_a_long_start_is_explained_also_while_the_event_loop_is_held_up(caplog: pytest.LogCaptureFixture) -> None:
    slow = Opening(0.001)
    slow.now("opening the books in /var/lib/edge-agent")
    while "now opening the books in /var/lib/edge-agent" not in words(caplog):
        threading.Event().wait(0.001)
    assert "the start takes long" in words(caplog)
    slow.done()
    slow.done()


def test_a_start_that_is_done_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())
    quick = Opening(0.2)
    (its,) = set(threading.enumerate()) - before
    quick.done()
    its.join()
    assert words(caplog) == ""


def test_a_source_that_gives_nothing_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SLOW_S", 0.01)

    async def start() -> None:
        loaded = settle(None, cloud_url="")
        watching = asyncio.create_task(watch(loaded, [Silent()], False, True, lambda: loaded))
        await until(lambda: "now waiting for a first picture or sound of camera 7" in words(caplog))
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(start())
    assert "now opening the model" in words(caplog)
