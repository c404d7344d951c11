"""Options of the benchmarks, checked against what each of them knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
