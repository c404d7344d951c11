"""How fast the model was on this device when it was warmed up: a small file beside the records."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_agent.store.small_file import read_document, write_document


@dataclass(frozen=True, slots=True)
class Speed:
    """`model` names it with everything that its speed hangs on; `answer_ms`: a short answer about a picture that is
    encoded already.
    """

    model: str
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
    answer_ms = document.get("answer_ms")
    if not (isinstance(answer_ms, (int, float)) and math.isfinite(answer_ms) and answer_ms > 0):
        raise ValueError("its time is no positive number")
    made = Speed(str(document.get("model")), float(answer_ms))
    return made if made.model == model else None
