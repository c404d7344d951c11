"""Outboxes that a test opens: closed behind it, as Python from 3.13 on warns of a database that is left open."""

from __future__ import annotations

from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.store.outbox import Outbox

_opened: list[Outbox] = []


def open_box(path: Path, clock: Clock, size: int = 10**6, age_s: float = 3600.0, boot: str | None = None) -> Outbox:
    """An outbox for the rest of this test."""
    _opened.append(Outbox(path, clock, size, age_s, boot))
    return _opened[-1]


def close_boxes() -> None:
    while _opened:
        _opened.pop().close()
