"""How fast the model was on this device when it was warmed up: a small file beside the records."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

FORMAT = 1
MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Speed:
    """`model` names it with everything that its speed hangs on; encoding a picture, and a short answer about it."""

    model: str
    encode_ms: float
    answer_ms: float


def write_speed(path: Path, speed: Speed) -> None:
    """Replace the file in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"format": FORMAT, **asdict(speed)}) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_speed(path: Path, model: str) -> Speed | None:
    """What was measured of this very model; None where nothing was, or of another. Raises ValueError for what is no
    such file, OSError.
    """
    if not path.exists():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    times = [document.get(name) for name in ("encode_ms", "answer_ms")]
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one > 0 for one in times):
        raise ValueError("its times are no positive numbers")
    made = Speed(str(document.get("model")), float(times[0]), float(times[1]))  # type: ignore[arg-type]
    return made if made.model == model else None
