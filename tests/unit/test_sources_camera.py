"""Cameras in child processes: they hang, die and come back, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.errors import InputError
from edge_agent.sources import camera as camera_module
from edge_agent.sources.base import redacted
from edge_agent.sources.camera import CameraSource, command_of, take_frame
from edge_agent.sources.child import Command, jpeg_end
from edge_agent.types import Frame

FAKE = Path(__file__).resolve().parents[1] / "support" / "fake_camera.py"


def jpeg(level: int = 100, preview: bool = True) -> bytes:
    """A grey JPEG of 8x8; a `preview` within it is a whole JPEG, too."""
    done, data = cv2.imencode(".jpg", np.full((8, 8, 3), level, np.uint8))
    assert done
    whole = data.tobytes()
    inner = jpeg(10, preview=False) if preview else b""
    return whole[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + whole[2:]


@pytest.fixture(autouse=True)
def _picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CAMERA_JPEG", base64.b64encode(jpeg()).decode())


def fake(*arguments: object) -> Callable[[str], Command]:
    """A camera that is tests/support/fake_camera.py."""
    argv = (sys.executable, "-S", str(FAKE), *map(str, arguments))
    return lambda uri: Command(argv, raw=arguments[0] == "raw", told=uri)


def watch(*arguments: object) -> tuple[list[Frame], str, CameraSource]:
    """All frames of a fake camera until it is lost, the words of its loss, and the camera."""
    seen: list[Frame] = []
    camera = CameraSource("0", command=fake(*arguments))

    async def run() -> str:
        await camera.open()
        try:
            async for item in camera:
                assert isinstance(item, Frame)
                seen.append(item)
        except InputError as error:
            return str(error)
        raise AssertionError("the camera never ended")

    return seen, asyncio.run(run()), camera


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_a_camera_gives_frames_until_it_is_lost_and_says_why(kind: str) -> None:
    seen, words, camera = watch(kind, 5, "words")
    assert 1 <= len(seen) <= 5
    assert len(seen) + camera.dropped == 5
    assert seen[-1].index == 4
    assert seen[-1].pixels.shape == (8, 8, 3)
    assert words == "camera 0 was lost (camera unplugged): check its cable or address"


def test_a_jpeg_is_decoded_to_what_was_seen() -> None:
    seen, _, _ = watch("jpeg", 3, "exit")
    assert np.abs(seen[0].pixels.astype(int) - 100).max() <= 2


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
@pytest.mark.parametrize("cut", [1, 4, 11, 12, 13, 100, 203])
def test_a_camera_lost_within_a_frame_is_lost_and_the_part_is_no_frame(kind: str, cut: int) -> None:
    seen, words, camera = watch(kind, 2, "exit", cut)
    assert len(seen) + camera.dropped == 2
    assert "was lost (exit code 0)" in words


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_what_is_no_frame_ends_the_camera(kind: str) -> None:
    seen, words, _ = watch(kind, 2, "junk")
    assert len(seen) >= 1
    assert "prints what is no" in words


@pytest.mark.parametrize("cut", [0, 5, 150])
def test_a_read_that_hangs_at_any_point_does_not_block_the_agent(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    monkeypatch.setattr(camera_module, "FRAME_TIMEOUT_S", 0.2)
    seen, words, camera = watch("raw", 1, "hang", cut)
    assert len(seen) == 1
    assert "gave no frame for 0.2 s" in words
    assert camera._child is None


def children() -> set[int]:
    """Processes of this process that have not been waited for."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(path.parent.name))
    return found


def settled(value: Callable[[], int], at_most: int) -> bool:
    """Whether it comes down to `at_most` before long."""
    for _ in range(500):
        if value() <= at_most:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_fifty_losses_leave_no_process_thread_or_file_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "FRAME_TIMEOUT_S", 0.05)
    watch("raw", 1, "exit")
    files, threads, processes = len(os.listdir("/proc/self/fd")), threading.active_count(), len(children())  # noqa: PTH208
    for number in range(50):
        watch("raw", 1, ("hang", "exit", "words", "junk")[number % 4], number * 4)
    assert settled(lambda: len(children()), processes)
    assert settled(threading.active_count, threads)
    assert settled(lambda: len(os.listdir("/proc/self/fd")), files)  # noqa: PTH208


def test_a_camera_that_nobody_waits_for_is_ended() -> None:
    async def give_up() -> CameraSource:
        camera = CameraSource("0", command=fake("raw", 0, "hang"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(camera.open(), 0.3)
        return camera

    before = len(children())
    assert asyncio.run(give_up())._child is None
    assert settled(lambda: len(children()), before)


def test_a_program_that_is_not_there_says_what_to_install() -> None:
    missing = CameraSource("rpicam", command=lambda uri: Command(("no-such-program",), missing="sudo apt install it"))
    with pytest.raises(InputError, match=r"no-such-program cannot be started: No such file.*: sudo apt install it"):
        asyncio.run(missing.open())


def test_a_camera_that_opencv_cannot_open_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened; run `edge-agent doctor`"):
        asyncio.run(CameraSource(str(tmp_path / "none.mp4")).open())


def test_opencv_reads_a_file_in_a_child_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (32, 16))  # type: ignore[attr-defined]
    for level in (0, 200):
        for _ in range(6):
            writer.write(np.full((16, 32, 3), level, np.uint8))
    writer.release()
    taken = asyncio.run(take_frame(str(path)))
    assert taken.pixels.shape == (16, 32, 3)
    assert taken.index >= 4


def test_one_frame_is_taken_after_the_warm_up() -> None:
    assert asyncio.run(take_frame("0", fake("raw", 50, "hang"))).index >= 4
    assert asyncio.run(take_frame("0", fake("raw", 1, "exit"))).index == 0


def test_passwords_in_camera_addresses_are_not_shown_nor_given_as_arguments() -> None:
    uri = "rtsp://admin:hunter2@cam:554/1?a=b@c"
    assert CameraSource(uri).describe() == "camera rtsp://cam:554/1?a=b@c"
    assert "hunter2" not in " ".join(command_of(uri).argv)
    assert command_of(uri).told == uri + "\n"
    with pytest.raises(InputError) as caught:
        asyncio.run(CameraSource(uri, command=fake("raw", 0, "words")).open())
    assert "hunter2" not in str(caught.value)
    assert redacted("0") == "0"


def test_the_boards_own_cameras_are_read_by_their_own_programs() -> None:
    pi = command_of("rpicam:1@640x480@10").argv
    assert pi[0] == "rpicam-vid"
    assert " ".join(pi).endswith("--camera 1 --width 640 --height 480 --framerate 10 --output -")
    assert "--width 1280 --height 720 --framerate 15" in " ".join(command_of("rpicam").argv)
    jetson = command_of("csi:0").argv
    assert jetson[:2] == ("gst-launch-1.0", "-q")
    assert "video/x-raw(memory:NVMM),width=1280,height=720,framerate=15/1" in jetson
    assert jetson[-2:] == ("fdsink", "fd=1")
    own = command_of('gst:v4l2src device="/dev/video 0" ! videoconvert').argv
    assert own[2:6] == ("v4l2src", "device=/dev/video 0", "!", "videoconvert")


@pytest.mark.parametrize("uri", ["rpicam:x", "csi:0@big", "gst:", "gst:a 'b", "0\n1", "a\0b", "x" * 5000])
def test_what_names_no_camera_is_refused_in_words(uri: str) -> None:
    with pytest.raises(InputError):
        asyncio.run(CameraSource(uri).open())


@pytest.mark.parametrize("preview", [True, False])
def test_a_jpeg_ends_where_it_ends_however_it_arrives(preview: bool) -> None:
    data = jpeg(90, preview)
    stream, held, searched, found = data * 3, bytearray(), 0, []
    for byte in stream:
        held.append(byte)
        end, searched = jpeg_end(held, searched)
        if end:
            found.append(bytes(held[:end]))
            del held[:end]
    assert found == [data] * 3
    assert not held
