"""Checked reads of a frame's meta: the value of the asked kind and range, or FrameError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_agent.transport.frames import FrameError
from edge_agent.transport.limits import ID_CHARS


def int_of(meta: Mapping[str, Any], key: str, low: int, high: int, default: int | None = None) -> int:
    """An integer of meta within low..high; `default` when absent. Raises FrameError."""
    value = meta.get(key, default)
    if type(value) is not int or not low <= value <= high:
        raise FrameError(f"{key} is not an integer of {low} to {high}")
    return value


def number_of(meta: Mapping[str, Any], key: str, low: float, high: float, default: float | None = None) -> float:
    """A number of meta within low..high; `default` when absent. Raises FrameError."""
    value = meta.get(key, default)
    if type(value) not in (int, float) or not low <= value <= high:
        raise FrameError(f"{key} is not a number of {low} to {high}")
    return float(value)


def text_of(meta: Mapping[str, Any], key: str, default: str | None = None, *, most: int = ID_CHARS) -> str:
    """A string of meta of at most `most` characters; `default` when absent. Raises FrameError."""
    value = meta.get(key, default)
    if not isinstance(value, str) or len(value) > most:
        raise FrameError(f"{key} is not a string of at most {most} characters")
    return value


def object_of(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A JSON object of meta; empty when absent. Raises FrameError."""
    value = meta.get(key, {})
    if not isinstance(value, dict):
        raise FrameError(f"{key} is not a JSON object")
    return value


def list_of(meta: Mapping[str, Any], key: str, most: int) -> list[Any]:
    """A list of meta with at most `most` items; empty when absent. Raises FrameError."""
    value = meta.get(key, [])
    if not isinstance(value, list) or len(value) > most:
        raise FrameError(
            f"{key} is not a list of at most {most}", code="too_large" if isinstance(value, list) else "protocol"
        )
    return value


def names_of(meta: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """At most 64 strings of meta; empty when absent. Raises FrameError."""
    values = list_of(meta, key, 64)
    if not all(isinstance(value, str) and len(value) <= ID_CHARS for value in values):
        raise FrameError(f"{key} is not a list of names")
    return tuple(values)
