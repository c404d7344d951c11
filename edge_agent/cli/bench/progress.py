"""A line on stderr every few seconds while a benchmark says nothing else."""

from __future__ import annotations

import time
from typing import TypeVar

import click

T = TypeVar("T")
EVERY_S = 5.0


class Progress:
    """Counts what is done, of `of` where that is known."""

    def __init__(self, what: str, of: int | None = None) -> None:
        self._what = what
        self._end = "" if of is None else f" of {of}"
        self._done = 0
        self._said_s = time.monotonic()

    def one(self, value: T) -> T:
        """`value`, which is now being worked on."""
        self._done += 1
        if time.monotonic() - self._said_s > EVERY_S:
            self._said_s = time.monotonic()
            click.echo(f"{self._what}: {self._done}{self._end}", err=True)
        return value
