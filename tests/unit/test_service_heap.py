"""A heap that stays small: the settings reach the C library, and what is free goes back while the agent watches."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys

import pytest

import edge_agent.heap
from edge_agent.clock import ManualClock
from edge_agent.service import heap

GLIBC = hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not GLIBC, reason="this C library has no mallopt")
def test_threads_share_the_few_arenas_that_are_left() -> None:
    code = """
import ctypes, sys, threading
from edge_agent.service.heap import few_arenas
if sys.argv[1] == "few":
    assert few_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
held, together = [], threading.Barrier(12)
def work():
    together.wait()
    held.append(libc.malloc(2000))
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len({address >> 26 for address in held}))  # an arena's heap is 64 MiB
"""
    kinds = {}
    for kind in ("few", "many"):
        done = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=True)
        kinds[kind] = int(done.stdout)
    assert kinds["few"] <= 3 < kinds["many"]


def test_what_is_free_goes_back_again_and_again_until_the_watch_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, given = ManualClock(), list[float]()
    monkeypatch.setattr(heap, "give_back", lambda: given.append(clock.monotonic_s()))
    monkeypatch.setattr(heap, "few_arenas", lambda: True)

    async def watch() -> None:
        async with heap.small_heap(clock):
            while len(given) < 3:  # noqa: ASYNC110 - a thread appends
                await asyncio.sleep(0.001)
        before = len(given)
        await asyncio.sleep(0.02)
        assert len(given) == before

    asyncio.run(watch())
    assert given[0] == heap.GIVE_BACK_S


def test_a_c_library_without_these_settings_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_agent.heap, "_library", lambda: object())
    assert not heap.few_arenas()
    assert not heap.give_back()
