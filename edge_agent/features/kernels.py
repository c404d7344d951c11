"""Which implementation computes: the native kernels of an instruction set or the NumPy reference, as one protocol."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.features import reference
from edge_agent.types import F32, U8

try:
    from edge_agent import _core

    _IMPORT_ERROR = ""
except ImportError as error:  # a source tree that was never built, or a build for another Python
    _IMPORT_ERROR = str(error)

REFERENCE = "reference"
ENVIRONMENT_VARIABLE = "EDGE_AGENT_ISA"


class VisionStream(Protocol):
    """A stream of frames; `edge_agent._core.VisionStream` says what `analyze` returns."""

    def analyze(self, image: U8) -> tuple[float, F32, float, float, bool, float, float, F32]: ...
    def analyze_many(self, images: U8) -> tuple[NDArray[Any], ...]: ...
    def reset(self) -> None: ...


class SoundStream(Protocol):
    """A stream of mono sound; `edge_agent._core.SoundStream` says what `feed` returns."""

    def feed(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> F32: ...
    def reset(self) -> None: ...


class Kernels(Protocol):
    """What one implementation can do; `edge_agent._core` gives shapes, ranges and errors."""

    @property
    def name(self) -> str: ...
    def grey(self, image: U8, out: U8 | None = None) -> U8: ...
    def histogram(self, image: U8) -> NDArray[np.uint32]: ...
    def entropy(self, image: U8) -> float: ...
    def tile_entropy(self, image: U8, tile: int) -> tuple[float, F32]: ...
    def edges(self, image: U8, threshold: float) -> tuple[int, int, int, float, float]: ...
    def difference(
        self, previous: U8, current: U8, threshold: int, tile: int
    ) -> tuple[int, int, float, float, F32]: ...
    def vision_stream(self, tile: int, edge_threshold: float, change_threshold: int) -> VisionStream: ...
    def sound_stream(self, window: int, hop: int) -> SoundStream: ...


class NativeKernels:
    """The C++ kernels of one instruction set."""

    def __init__(self, isa: str) -> None:
        self.name = isa

    def grey(self, image: U8, out: U8 | None = None) -> U8:
        return _core.grey(image, out, self.name)

    def histogram(self, image: U8) -> NDArray[np.uint32]:
        return _core.histogram(image, self.name)

    def entropy(self, image: U8) -> float:
        return _core.entropy(image, self.name)

    def tile_entropy(self, image: U8, tile: int) -> tuple[float, F32]:
        return _core.tile_entropy(image, tile, self.name)

    def edges(self, image: U8, threshold: float) -> tuple[int, int, int, float, float]:
        return _core.edges(image, threshold, self.name)

    def difference(self, previous: U8, current: U8, threshold: int, tile: int) -> tuple[int, int, float, float, F32]:
        return _core.difference(previous, current, threshold, tile, self.name)

    def vision_stream(self, tile: int, edge_threshold: float, change_threshold: int) -> VisionStream:
        return _core.VisionStream(tile, edge_threshold, change_threshold, self.name)

    def sound_stream(self, window: int, hop: int) -> SoundStream:
        return _core.SoundStream(window, hop, self.name)


class ReferenceKernels:
    """The NumPy reference."""

    name = REFERENCE
    grey = staticmethod(reference.grey)
    histogram = staticmethod(reference.histogram)
    entropy = staticmethod(reference.entropy)
    tile_entropy = staticmethod(reference.tile_entropy)
    edges = staticmethod(reference.edges)
    difference = staticmethod(reference.difference)
    vision_stream = staticmethod(reference.VisionStream)
    sound_stream = staticmethod(reference.SoundStream)


def native_import_error() -> str:
    """Why the native kernels cannot be used; empty where they can."""
    return _IMPORT_ERROR


def available_isas() -> tuple[str, ...]:
    """What `choose` takes on this machine, slowest first; "reference" is always there."""
    return (REFERENCE,) if _IMPORT_ERROR else (REFERENCE, *_core.available_isas())


def cpu_features() -> tuple[str, ...]:
    """CPU features that matter to the kernels and are present; empty where the native kernels are not built."""
    return () if _IMPORT_ERROR else tuple(_core.cpu_features())


def isa() -> str:
    """The implementation in use: what EDGE_AGENT_ISA names, else the fastest. ValueError where it names none."""
    name = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not name:
        return available_isas()[-1]
    _check_available(name, f"{ENVIRONMENT_VARIABLE}: ")
    return name


def choose(name: str | None = None) -> Kernels:
    """The kernels of that name, None for those in use. ValueError, naming the available ones, where there are none."""
    name = isa() if name is None else name
    _check_available(name, "")
    return ReferenceKernels() if name == REFERENCE else NativeKernels(name)


def _check_available(name: str, prefix: str) -> None:
    if name in available_isas():
        return
    missing = f" (the native kernels cannot be imported: {_IMPORT_ERROR})" if _IMPORT_ERROR else ""
    known = ", ".join(available_isas())
    raise ValueError(
        f"{prefix}no kernels for the instruction set {name!r} on this machine: available are {known}{missing}"
    )
