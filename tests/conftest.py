"""What all tests share: the data folder, and a home of their own for everything that the agent writes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

DATA = os.environ.get("EDGE_AGENT_DATA", "")


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C, and so would everything that the tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("busy machines", deadline=None)  # no test fails for having been slow
    settings.load_profile("busy machines")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what reads the data sets: all of it, since no other test is told where they are."""
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads the user's configuration or writes to their state folder.

    Each runs in a folder of its own: in the repository's root, a child process would import the source tree instead of
    what is installed.
    """
    monkeypatch.chdir(tmp_path)
    for name in (
        "EDGE_AGENT_CONFIG",
        "EDGE_AGENT_DATA",  # `data_dir` alone says where it is
        "EDGE_AGENT_CLOUD_TOKEN",
        "EDGE_AGENT_API_TOKEN",
        "EDGE_AGENT_MQTT_PASSWORD",
        "EDGE_AGENT_MODELS",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
    ):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    return home


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data sets' folder from EDGE_AGENT_DATA; the test skips without it."""
    if not DATA:
        pytest.skip("EDGE_AGENT_DATA is not set: the data sets are not part of the project")
    return Path(DATA)
