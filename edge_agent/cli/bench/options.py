"""Options of the benchmarks, checked against what each of them knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_agent.cli.options import json_option
from edge_agent.config import nearest
from edge_agent.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
MAX_ROUNDS = 10_000
NO_PEERS = "none"

rounds_option = click.option(
    "--rounds", type=click.IntRange(3, MAX_ROUNDS), default=15, show_default=True, help="Timings of each contender."
)
runs_option = click.option(
    "--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="Do all of it this many times."
)
case_option = click.option("--case", "cases", metavar="NAME", multiple=True, help="Only these; may be repeated.")
size_option = click.option("--size", "sizes", metavar="SIZE", multiple=True, help="Only these; may be repeated.")
peers_option = click.option("--peers", metavar="NAME,...", help="Only these libraries; `none` for ours alone.")
data_option = click.option(
    "--data",
    metavar="FOLDER",
    envvar="EDGE_AGENT_DATA",
    help="Folder with real inputs; an empty string means none. [default: EDGE_AGENT_DATA]",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks of a benchmark of kernels: names that it knows, and where real inputs lie."""

    cases: tuple[str, ...]
    sizes: tuple[str, ...]
    inputs: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    runs: int
    data: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """The same as it was typed, nothing checked but `data`."""

    cases: tuple[str, ...]
    sizes: tuple[str, ...]
    inputs: tuple[str, ...]
    peers: str | None
    rounds: int
    runs: int
    data: Path | None
    as_json: bool

    def checked(
        self, cases: Sequence[str], sizes: Sequence[str], inputs: Sequence[str], peers: Sequence[str]
    ) -> Wanted:
        """Held against what the benchmark knows. Raises UsageError."""
        return Wanted(
            chosen(self.cases, cases, "case"),
            chosen(self.sizes, sizes, "size"),
            chosen(self.inputs, inputs, "input"),
            chosen_peers(self.peers, peers),
            *(self.rounds, self.runs, self.data, self.as_json),
        )


def asking(inputs: Sequence[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The timing options and --input of a benchmark, handed to it as one value, `asked`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def call(data: str | None, **options: Any) -> None:
            more = {name: options.pop(name) for name in tuple(options) if name not in Asked.__slots__}
            command(asked=Asked(data=data_folder(data), **options), **more)

        call.__doc__ = command.__doc__
        names = f"Only these of {', '.join(inputs)}."
        return click.option("--input", "inputs", metavar="NAME", multiple=True, help=names)(timing_options(call))

    return decorate


def timing_options(command: F) -> F:
    """The options that every benchmark of kernels has."""
    for option in (json_option, data_option, peers_option, size_option, case_option, runs_option, rounds_option):
        command = option(command)
    return command


def chosen(words: Sequence[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    """`words`, split at commas, in the order of `known`; all known ones if there are none. Raises UsageError."""
    wanted = [part.strip() for word in words for part in word.split(",") if part.strip()]
    for word in wanted:
        if word not in known:
            raise UsageError(f"no {what} {word[:40]!r}", nearest(word, list(known)))
    return tuple(name for name in known if not wanted or name in wanted)


def chosen_peers(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """The libraries to compare with. Raises UsageError."""
    if text is None:
        return tuple(known)
    return () if text.strip() == NO_PEERS else chosen([text or "?"], known, "peer")


def data_folder(text: str | None) -> Path | None:
    """The folder with real inputs, None without one. Raises UsageError where it is none."""
    if not text:
        return None
    if not os.path.isdir(text):  # noqa: PTH112 - never raises
        raise UsageError(
            f"--data {text[:200]} is no folder", "name the one that holds clips/ and coco/, or leave it out"
        )
    return Path(text)
