"""The libraries that `edge-agent bench` compares with, as tests of what they compute take them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.bench.libraries import Library
from edge_agent.cli.bench.measure import Contender


def contenders(library: Library, scene: Any) -> list[Contender]:
    """What a library does of the work in `scene`; the test skips where it is not installed."""
    if library.missing():
        pytest.skip(f"{library.name} is not installed: {library.install}")
    return list(importlib.import_module(f"edge_agent.cli.bench.peers.{library.peers}").contenders(scene))


def results(contender: Contender, count: int) -> list[dict[str, Any]]:
    """What comes out of the first `count` calls, in order; copied, as a peer may use its memory again."""
    return [{key: np.copy(value) for key, value in contender.read(contender.call(i)).items()} for i in range(count)]
