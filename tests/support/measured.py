"""The reference cloud in a process of its own, with the shipped model, and how much memory it takes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from edge_agent.transport.codecs import EncodedTensor, find_codec
from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, find_bundle

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 32 << 20
"""By so much it may grow, whatever it is sent."""


class Server:
    """The process, and how much memory it takes."""

    def __init__(self, process: subprocess.Popen[str], url: str, bundle: Bundle) -> None:
        self.process, self.url, self.bundle = process, url, bundle
        self._status = Path(f"/proc/{process.pid}/status")

    def memory_bytes(self, what: str) -> int:
        for line in self._status.read_text("ascii").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(what)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")

    @cached_property
    def picture(self) -> EncodedTensor:
        size = (self.bundle.tokens_per_image, self.bundle.hidden_size)
        data = np.random.default_rng(3).normal(size=size).astype(np.float32)
        return find_codec("int8-zstd").encode(Embeddings(data, self.bundle.encoder_id))

    @contextlib.contextmanager
    def growing_little(self) -> Iterator[None]:
        """What happens within takes less than MOST_BYTES of memory at any time."""
        resting = self.memory_bytes("VmRSS")
        self.forget_peak()
        yield
        grown = self.memory_bytes("VmHWM") - resting
        assert grown < MOST_BYTES, f"{grown >> 20} MiB more"


@contextlib.contextmanager
def measured_cloud() -> Iterator[Server]:
    """One that is ready; skips where the system does not tell what a process takes."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process's memory is Linux' to tell")
    bundle = Bundle.open(find_bundle("cloud-vqa"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield Server(process, json.loads(process.stdout.readline())["url"], bundle)
    finally:
        process.kill()
        process.communicate()
