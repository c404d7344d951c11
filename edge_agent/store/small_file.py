"""Small JSON documents with a format number: replaced in one step, read with their size checked first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
MAX_BYTES = 1 << 16


def write_document(path: Path, facts: Mapping[str, Any], indent: int | None = None) -> None:
    """Replace the file in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"format": FORMAT, **facts}, indent=indent) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_document(path: Path) -> dict[str, Any] | None:
    """What was left there; None where nothing was. Raises ValueError for what is no such document, OSError."""
    if not path.exists():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    return document
