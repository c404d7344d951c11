"""How fast the model was on this device when it was warmed up: a small file beside the records."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_agent.store.small_file import read_document, write_document


@dataclass(frozen=True, slots=True)
class Speed:
    """`model` names it with everything that its speed hangs on; encoding a picture, and a short answer about it."""

    model: str
    encode_ms: float
    answer_ms: float


def write_speed(path: Path, speed: Speed) -> None:
    """Replace the file in one step. Raises OSError."""
    write_document(path, asdict(speed))


def read_speed(path: Path, model: str) -> Speed | None:
    """What was measured of this very model; None where nothing was, or of another. Raises ValueError for what is no
    such file, OSError.
    """
    document = read_document(path)
    if document is None:
        return None
    times = [document.get(name) for name in ("encode_ms", "answer_ms")]
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one > 0 for one in times):
        raise ValueError("its times are no positive numbers")
    made = Speed(str(document.get("model")), float(times[0]), float(times[1]))  # type: ignore[arg-type]
    return made if made.model == model else None
