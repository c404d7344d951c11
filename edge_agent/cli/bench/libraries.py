"""The libraries that benchmarks compare with: which are there, and what brings those that are not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge_agent import __version__
from edge_agent.cli.bench.measure import Contender
from edge_agent.errors import UsageError

INSTALL = "pip install 'edge-agent[bench]'"
LITERT = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
"""The distributions that bring the interpreter of TFLite files, and the module of each."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library: its distribution, the module to import, the file in `peers` with what it can do, what brings it, and
    the modules that it does not work without.
    """

    name: str
    distribution: str
    module: str
    peers: str
    install: str = INSTALL
    needs: tuple[str, ...] = ()

    def missing(self) -> bool:
        """Whether it, or what it needs, is not installed."""
        return any(importlib.util.find_spec(module) is None for module in (self.module, *self.needs))


def absent(libraries: Mapping[str, Library], names: Sequence[str]) -> list[Library]:
    """Those of `names` that are not installed."""
    return [libraries[name] for name in names if libraries[name].missing()]


def builders(libraries: Mapping[str, Library], names: Sequence[str]) -> list[Callable[[Any], list[Contender]]]:
    """For those of `names` that are there: what makes their contenders for a scene. Raises UsageError."""
    return [_builder(libraries[name]) for name in names if not libraries[name].missing()]


def _builder(library: Library) -> Callable[[Any], list[Contender]]:
    try:
        made: Callable[[Any], list[Contender]] = import_module(f"edge_agent.cli.bench.peers.{library.peers}").contenders
    except ImportError as error:
        problem = f"{library.name} is installed and cannot be imported: {error}"
        raise UsageError(problem, f"mend it, or name the others with --peers; {library.install}") from error
    return made


def version(distribution: str) -> str | None:
    """The installed version of a distribution, ours from the package itself; None where there is none."""
    if distribution == "edge-agent":
        return __version__
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def opencv_distribution() -> str:
    """Which of the distributions that bring `cv2` is installed."""
    names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
    return _installed(names)


def litert_distribution() -> str:
    """Which of LITERT is installed; the first that the runtime would take."""
    return _installed(tuple(LITERT))


def _installed(names: tuple[str, ...]) -> str:
    return next((name for name in names if version(name)), names[0])
