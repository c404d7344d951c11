"""What the runtime promises of memory and of giving up: no copied cache, no run after a cancel, bounded residence."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle
from edge_agent.vlm.selftest import picture
from edge_agent.vlm.session import ChainedRuns

QUESTION = "describe the picture."
MOST_MIB = 350
PEAK = """
import re, sys
from pathlib import Path
from edge_agent.cli.main import main
code = main(sys.argv[1:])
sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


class Watched:
    """A session that keeps what it was given and what it gave."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs: list[tuple[dict[str, Any], list[Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        made: list[Any] = self._session.run(names, feeds)
        self.runs.append((dict(feeds), made))
        return made


@pytest.fixture
def watched() -> tuple[Generator, Watched, list[Embeddings]]:
    edge = Bundle.open(find_bundle("edge-vqa"))
    generator = Generator(edge)
    decoder = generator.decoder
    session = Watched(decoder.session)
    decoder.session = session
    decoder._runs = ChainedRuns(session, decoder.output_names, decoder.past_names, "the decoder")
    return generator, session, [VisionEncoder(edge).encode(picture())]


def test_every_run_reads_the_keys_and_values_that_the_one_before_gave_where_they_lie(
    watched: tuple[Generator, Watched, list[Embeddings]],
) -> None:
    generator, session, seen = watched
    events = list(generator.stream(seen, QUESTION, max_new_tokens=8))
    assert len(session.runs) >= len(events) > 2
    for (_, made), (feeds, _) in zip(session.runs, session.runs[1:], strict=False):
        past = [feeds[name] for name in generator.decoder.past_names]
        assert all(given is kept for given, kept in zip(past, made[1:], strict=True))


def test_another_question_goes_on_from_the_very_cache_of_the_picture(
    watched: tuple[Generator, Watched, list[Embeddings]],
) -> None:
    generator, session, seen = watched
    list(generator.stream(seen, "is there a dog?"))
    behind_picture = session.runs[0][1][1:]
    before = [np.array(one) for one in behind_picture]
    session.runs.clear()
    list(generator.stream(seen, QUESTION, max_new_tokens=4))
    past = [session.runs[0][0][name] for name in generator.decoder.past_names]
    assert all(given is kept for given, kept in zip(past, behind_picture, strict=True))
    assert all((now == then).all() for now, then in zip(behind_picture, before, strict=True)), "it was written to"


@pytest.mark.parametrize("after", [1, 2, 3])
def test_after_a_cancel_the_graph_does_not_run_again(
    watched: tuple[Generator, Watched, list[Embeddings]], after: int
) -> None:
    generator, session, seen = watched
    said: list[Any] = []
    ran = 0
    for event in generator.stream(seen, QUESTION, max_new_tokens=8, cancelled=lambda: len(said) >= after):
        said.append(event)
        ran = len(session.runs)
    assert len(said) == after
    assert len(session.runs) == ran


def sound(path: Path) -> Path:
    """Ten minutes of noise."""
    samples = np.random.default_rng(0).normal(0, 3000, 600 * 16000).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(samples.tobytes())
    return path


def photo(path: Path) -> Path:
    """40 megapixels."""
    assert cv2.imwrite(str(path), np.zeros((5000, 8000, 3), np.uint8))
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("kind", ["--image", "--audio"])
def test_the_largest_inputs_are_answered_within_the_memory_that_is_promised(tmp_path: Path, kind: str) -> None:
    path = photo(tmp_path / "photo.jpg") if kind == "--image" else sound(tmp_path / "sound.wav")
    command = [sys.executable, "-c", PEAK, "ask", "--route", "local", kind, str(path), "what is it?"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < MOST_MIB * 1024
