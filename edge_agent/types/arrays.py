"""The array types and the decorator that the other values are made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # in typing from Python 3.11 on
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda decorator: decorator


U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A dataclass with slots that mypy keeps from being changed. What Python does so that nobody changes an instance
    costs three times its making; a decision, made of three of these, would spend half its time on that.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
