"""What several of these tests share: a hub on this machine without waiting between tries, a cloud, a photo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.store import remote
from edge_agent.store.fetch import Web
from hubs import Hub, hub_server
from pulls import TINY


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the tiny model, and an empty folder of bundles."""

    async def sleep(_: float) -> None: ...

    monkeypatch.setattr(Web.__init__, "__defaults__", (sleep, 5.0))
    monkeypatch.setattr(remote, "signed_convolutions", lambda: True)  # whatever runtime is here
    with hub_server() as made:
        made.add_model(TINY)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
        yield made


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A busy 640x480 photo-like picture: shapes over noise, so that no policy finds it empty."""
    rng = np.random.default_rng(1)
    picture = rng.integers(60, 200, (480, 640, 3), dtype=np.uint8)
    cv2.circle(picture, (320, 240), 120, (20, 30, 220), -1)
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real cloud process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path_factory.mktemp("cloud"),
        env={k: v for k, v in os.environ.items() if k != "EDGE_AGENT_CLOUD_TOKEN"},
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()
