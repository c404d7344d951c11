"""Warm-up: every graph runs before the agent is ready, and the policy first knows of the device what that took."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.cli.build import primed
from edge_agent.cli.warming import AGAIN_BELOW_MS, kept_speed, speed_name, speed_path, warm_up
from edge_agent.clock import ManualClock
from edge_agent.config import Config
from edge_agent.engines.base import Query
from edge_agent.errors import ModelError
from edge_agent.monitors.device import DeviceMonitors
from edge_agent.store.speed import Speed, read_speed, write_speed
from edge_agent.types import AudioWindow, Embeddings, EmbeddingSizes, Frame, Generation, TokenEvent
from media import make_clip


class Slow:
    """A model whose runs take what the test says; counts them."""

    grid = (2, 2)
    tokenizer_id = "t"

    def __init__(self, encode_ms: list[float], answer_ms: list[float], sound_bytes: int | None = 10) -> None:
        self.sizes = EmbeddingSizes(10, 1, sound_bytes)
        self._encode_ms, self._answer_ms = encode_ms, answer_ms
        self.now_ms = 0.0
        self.runs: list[str] = []
        self._seen: object = None

    def look(self, frame: Frame) -> tuple[Embeddings, ...]:
        if self._seen is not frame:
            self.runs.append("look")
            self.now_ms += self._encode_ms.pop(0)
        self._seen = frame
        return (Embeddings(np.zeros((1, 1), np.float32), "e"),)

    def encode_tiles(self, frame: Frame) -> Iterator[Embeddings]:
        self.runs.append("tiles")
        yield from ()

    def encode_sound(self, sound: AudioWindow) -> Embeddings:
        self.runs.append("sound")
        return Embeddings(np.zeros((1, 1), np.float32), "s")

    def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]:
        self.runs.append("stream")
        self.now_ms += self._answer_ms.pop(0)
        yield TokenEvent(0, "red", 1.0, 0.0)

    def summarise(self, tokens: list[TokenEvent], question: str) -> Generation:
        raise AssertionError("nobody reads the answer")

    def prompt_tokens(self, query: Query) -> int:
        raise AssertionError("nobody is billed")

    def s(self) -> float:
        return self.now_ms / 1000


def test_every_graph_runs_and_the_second_run_counts() -> None:
    model = Slow([90.0, 30.0], [70.0, 20.0])
    speed = warm_up(model, "m", model.s)
    assert speed == Speed("m", pytest.approx(20.0))
    assert sorted(set(model.runs)) == ["look", "sound", "stream", "tiles"]


def test_a_slow_model_is_run_once_and_a_deaf_one_hears_nothing() -> None:
    model = Slow([AGAIN_BELOW_MS * 20, 1.0], [AGAIN_BELOW_MS * 2], sound_bytes=None)
    speed = warm_up(model, "m", model.s)
    assert speed.answer_ms == pytest.approx(AGAIN_BELOW_MS * 2)
    assert model.runs.count("stream") == 1
    assert "sound" not in model.runs


def test_a_model_that_fails_at_the_warm_up_is_not_opened_at_all() -> None:
    class Broken(Slow):
        def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]:
            raise ModelError("torn")

    model = Broken([1.0, 1.0], [])
    with pytest.raises(ModelError, match="torn"):
        warm_up(model, "m", model.s)


def test_the_speed_of_this_very_model_is_kept_and_anothers_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "speed.json"
    assert read_speed(path, "m") is None
    write_speed(path, Speed("m", 20.0))
    assert read_speed(path, "m") == Speed("m", 20.0)
    assert read_speed(path, "m, 2 threads") is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 9}', '{"format": 1, "model": "m", "encode_ms": 1, "answer_ms": "2"}', "x" * 70000],
)
def test_a_damaged_file_is_set_aside_with_a_warning(text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = speed_path(Config())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert kept_speed(Config(), "m") is None
    assert "set aside" in caplog.text


def test_the_policy_knows_the_speed_before_the_first_question(tmp_path: Path) -> None:
    """A run keeps it; whoever is assembled later from the same configuration is told, with other settings not."""
    clip = make_clip(tmp_path / "c.mp4", [60] * 5)
    command = [sys.executable, "-m", "edge_agent", "run", "--clip", str(clip), "--fast", "--json", "--cloud", ""]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stderr
    kept = json.loads(speed_path(Config()).read_text())
    assert kept["answer_ms"] > 0
    monitors = primed(DeviceMonitors(ManualClock(), None, 0.0), Config())
    assert monitors.state().local_latency_estimate_ms == pytest.approx(kept["answer_ms"])
    assert speed_name(Config(), "m") in kept["model"].replace(kept["model"].partition(",")[0], "m", 1)
    speed_path(Config()).unlink()
    assert primed(DeviceMonitors(ManualClock(), None, 0.0), Config()).state().local_latency_estimate_ms is None
