"""What tests of pulled models share: a hub on this machine, and no waiting between tries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
