"""Values of edge_agent.types as plain JSON values, and packed ones read back."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
PACKED = "f32"
LEAST_PACKED = 16


def plain(value: Any, exact: bool = False) -> Any:
    """Values of edge_agent.types as JSON can hold them: enums by value, arrays as lists, floats to 6 places.

    `exact`: every float as it is, so that reading them back gives the same, and float32 arrays of LEAST_PACKED values
    or more as {"f32": base64 of their bytes, little endian, "shape": [...]}, for `unpacked`: writing digits takes long.
    """
    if value is None or type(value) in (str, int, bool):
        return value
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
            return _packed(value)
        return [plain(item, exact) for item in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item(), exact)
    return round(value, 6) if isinstance(value, float) and not exact else value


def _packed(values: F32) -> Any:
    if values.size < LEAST_PACKED:  # in as few digits as they take
        return np.array([float(text) for text in values.astype("U32").ravel()]).reshape(values.shape).tolist()
    data = np.ascontiguousarray(values, "<f4").tobytes()
    return {PACKED: base64.b64encode(data).decode("ascii"), "shape": list(values.shape)}


def unpacked(raw: Any) -> F32:
    """The float32 array that `plain` made this of, exactly: a list of numbers, or packed. Raises ValueError."""
    if not isinstance(raw, Mapping):
        return np.array(raw, np.float32)
    shape, text = raw.get("shape"), raw.get(PACKED)
    if not isinstance(text, str) or not isinstance(shape, list) or not all(type(side) is int for side in shape):
        raise ValueError(f"packed numbers without {PACKED} or shape")
    data = base64.b64decode(text, validate=True)
    if len(data) != 4 * math.prod(shape) or min(shape, default=0) < 0:
        raise ValueError(f"{len(data)} bytes of packed numbers, for the shape {shape!r:.60}")
    return np.frombuffer(data, "<f4").astype(np.float32).reshape(shape)
