"""How a setting is declared: its default, and what is said and checked about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


def setting(
    default: Any,
    sentence: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    live: bool = False,
) -> Any:
    """One leaf of the tree: its default, what `config explain` says about it, and whether a running agent takes it."""
    meta = {"sentence": sentence, "unit": unit, "low": low, "high": high, "choices": tuple(choices), "live": live}
    return dataclasses.field(default=default, metadata=meta)
