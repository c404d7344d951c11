"""The measured files that travel with the package for policies, set aside with a warning where they do not fit."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

T = TypeVar("T")
D = TypeVar("D")
log = logging.getLogger(__name__)


def shipped(name: str, read: Callable[[str], T], otherwise: D, without: str) -> T | D:
    """What `read` makes of the text of the asset `name`; where it is missing, or `read` raises ValueError, `otherwise`,
    with a warning that says how it goes on `without` it.
    """
    try:
        return read((files("edge_agent") / "assets" / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        log.warning("%s: %s", without, error)
        return otherwise


def versioned(text: str, version: int, what: str) -> dict[str, Any]:
    """The JSON object in a file's text. Raises ValueError unless it is one of that version."""
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("version") != version:
        raise ValueError(f"not version {version} of {what}")
    return document
