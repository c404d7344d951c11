"""Values of edge_agent.types as plain JSON values."""

from __future__ import annotations

import dataclasses
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np


def plain(value: Any, exact: bool = False) -> Any:
    """Values of edge_agent.types as JSON can hold them: enums by value, arrays as lists, floats to 6 places.

    `exact`: every float as it is, so that reading them back gives the same; float32 in as few digits as that takes.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), exact) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(item, exact) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, exact) for item in value]
    if isinstance(value, np.ndarray):
        if exact and value.dtype == np.float32:
            return np.array([float(text) for text in value.astype("U32").ravel()]).reshape(value.shape).tolist()
        return [plain(item, exact) for item in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item(), exact)
    return round(value, 6) if isinstance(value, float) and not exact else value
