"""Printing beside the event loop: in order, bounded, and ended by nothing but who reads it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from edge_agent.cli import printing
from edge_agent.cli.printing import MOST_WAITING, PATIENT, Printer

Pipe = tuple[int, TextIO]
LONG = "x" * 100_000  # more than a pipe takes


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Both ends of a pipe; whatever still waits for a reader is let go of at the end."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stdout:
        yield reading, stdout
        with suppress(OSError):
            os.close(reading)


def read(handle: int, size: int) -> str:
    data = b""
    while len(data) < size:
        data += os.read(handle, size - len(data))
    return data.decode()


def test_texts_come_in_order_however_slowly_they_are_read(pipe: Pipe) -> None:
    async def say() -> str:
        printer = Printer(pipe[1])
        for text in ("1", LONG, "ä"):
            printer.put(text)
        said = await asyncio.to_thread(read, pipe[0], 2 + 100_001 + 3)
        await printer.room(1)
        return said

    assert asyncio.run(say()) == f"1\n{LONG}\nä\n"


def test_there_is_room_once_somebody_reads(pipe: Pipe) -> None:
    async def say() -> None:
        printer = Printer(pipe[1])
        printer.put(LONG)
        for _ in range(PATIENT):
            printer.put("more")
        waiting = asyncio.create_task(printer.room())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await asyncio.to_thread(read, pipe[0], 100_001)
        await waiting

    asyncio.run(say())


def test_what_nobody_reads_is_left_out_and_that_is_said_once(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    async def say() -> str:
        printer = Printer(pipe[1])
        for number in range(MOST_WAITING + 3):
            printer.put(f"{number:06d}" if number else LONG)
        said = await asyncio.to_thread(read, pipe[0], 100_001 + 7 * (MOST_WAITING - 1))
        await printer.room(1)
        return said

    assert asyncio.run(say()).endswith(f"{MOST_WAITING - 1:06d}\n")
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["nobody reads stdout"]


def test_a_reader_who_left_is_told_to_who_watches(pipe: Pipe) -> None:
    async def say() -> None:
        printer, failed = Printer(pipe[1]), asyncio.Event()
        printer.on_failed = failed.set
        os.close(pipe[0])
        printer.put("who hears this?")
        await failed.wait()
        with pytest.raises(BrokenPipeError):
            printer.check()
        with pytest.raises(BrokenPipeError):
            await printer.room()

    asyncio.run(say())


def test_closing_waits_for_no_reader(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "CLOSE_S", 0.01)

    async def say() -> None:
        printer = Printer(pipe[1])
        printer.put(LONG)
        await printer.close()
        assert printer._waiting == 1  # it was given up, not printed

    asyncio.run(say())
