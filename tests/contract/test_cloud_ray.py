"""What of the Ray Serve application can be shown without Ray: a lost decoder is not noticed, and what to install."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_stub.backends.base import Prompt
from cloud_stub.backends.remote import ATTEMPTS, RemoteBackend
from cloud_stub.ray_app import STARTS, started
from clouds import FakeBackend
from edge_agent.errors import CloudError, ModelError
from edge_agent.types import TokenEvent

FACTS = {
    "model": "m",
    "encoder_ids": ("e",),
    "codecs": ("raw-f32",),
    "hidden_size": 8,
    "detail_views": None,
    "tokenizer_id": None,
}


class LostError(Exception):
    """Stands for ray.exceptions.RayActorError."""


class Events:
    """The stream of one replica; it dies behind `dies_after` tokens."""

    def __init__(self, count: int, dies_after: int | None) -> None:
        self._count, self._dies_after = count, dies_after
        self.cancelled = False

    def __iter__(self) -> Iterator[TokenEvent]:
        for index in range(self._count):
            if index == self._dies_after:
                raise LostError
            yield TokenEvent(index, f"w{index} ", 0.5, 0.25)

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Replicas that die one after the other, as `deaths` says."""

    def __init__(self, *deaths: int | None) -> None:
        self.deaths = list(deaths)
        self.streams: list[Events] = []
        self.stream = self.prompt_tokens = self

    def options(self, *, stream: bool) -> Handle:
        assert stream
        return self

    def remote(self, prompt: Prompt) -> Events | Handle:
        self.streams.append(Events(5, self.deaths.pop(0)))
        return self.streams[-1] if prompt.question != "count" else self

    def result(self, timeout_s: float) -> int:
        assert timeout_s > 0
        if self.streams[-1]._dies_after is not None:
            raise LostError
        return 7


@pytest.fixture(autouse=True)
def ray(monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions = types.ModuleType("ray.exceptions")
    exceptions.RayActorError = LostError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    monkeypatch.setattr("cloud_stub.backends.remote.RETRY_S", 0.0)


@pytest.mark.parametrize("deaths", [(None,), (0, None), (3, None), (4, 2, 0, None)])
def test_each_token_comes_once_however_many_decoders_die(deaths: tuple[int | None, ...]) -> None:
    handle = Handle(*deaths)
    events = list(RemoteBackend(handle, FACTS).stream(Prompt((), "q", (), 5), lambda: False))
    assert [event.token_id for event in events] == [0, 1, 2, 3, 4]
    assert len(handle.streams) == len(deaths)
    assert all(one.cancelled for one in handle.streams)


def test_when_every_decoder_dies_it_is_one_typed_error() -> None:
    backend = RemoteBackend(Handle(*[1] * ATTEMPTS), FACTS)
    with pytest.raises(CloudError) as caught:
        list(backend.stream(Prompt((), "q", (), 5), lambda: False))
    assert (caught.value.code, caught.value.retryable) == ("internal", True)


def test_a_call_is_made_again_of_another_decoder() -> None:
    assert RemoteBackend(Handle(0, None), FACTS).prompt_tokens(Prompt((), "count", (), 5)) == 7
    with pytest.raises(CloudError):
        RemoteBackend(Handle(*[0] * ATTEMPTS), FACTS).prompt_tokens(Prompt((), "count", (), 5))


def test_who_cancels_ends_the_stream_of_the_replica() -> None:
    handle = Handle(None)
    events = RemoteBackend(handle, FACTS).stream(Prompt((), "q", (), 5), lambda: len(said) > 1)
    said: list[TokenEvent] = []
    for event in events:
        said.append(event)  # noqa: PERF402 - who cancels looks at it
    assert len(said) == 2
    assert handle.streams[0].cancelled


def test_a_remote_backend_has_what_a_backend_has() -> None:
    wanted = {name for name in vars(FakeBackend) if not name.startswith("_")}
    assert wanted <= {*dir(RemoteBackend), *FACTS}


def test_without_ray_it_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('not here')", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cloud_stub.ray_app import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) <= 2
    assert "edge-agent[ray]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_a_public_address_without_a_token_is_refused(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloud_stub.ray_app import main

    monkeypatch.delenv("EDGE_AGENT_CLOUD_TOKEN", raising=False)
    assert main(["--host", host]) == 2
    assert "EDGE_AGENT_CLOUD_TOKEN" in capsys.readouterr().err


@pytest.mark.parametrize("fails", range(STARTS))
def test_a_ray_that_a_busy_machine_starts_too_slowly_is_started_again(fails: int) -> None:
    calls: list[str] = []

    def start() -> None:
        calls.append("start")
        if calls.count("start") <= fails:
            raise Exception("The current node timed out during startup. This could happen")

    started(start, lambda: calls.append("stop"))
    assert calls == ["start", "stop"] * fails + ["start"]


def test_a_ray_that_never_starts_is_one_error() -> None:
    def start() -> None:
        raise Exception("The current node timed out during startup. This could happen")

    with pytest.raises(ModelError, match=r"Ray did not start \(The current node timed out during startup\)"):
        started(start, lambda: None)
