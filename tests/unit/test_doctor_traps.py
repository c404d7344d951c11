"""The doctor's checks for known traps, each in each state that a machine can be in; no hardware is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli.checks import machine, traps
from edge_agent.cli.checks.base import Check, Probed, Status
from edge_agent.config import ApiSettings


def checks(check: Check | None, status: Status, *words: str) -> None:
    """The check has that outcome, says those words, and names a command where something is to be done."""
    assert check is not None
    assert (check.status, check.exit_code) == (status, 0), check
    for word in words:
        assert word in f"{check.detail} {check.fix}", check
    assert bool(check.fix) == (status is Status.WARN), check


@pytest.mark.parametrize(
    ("uri", "fix"),
    [("rpicam:0", "rpicam-apps-lite"), ("csi:0@1280x720@15", "gstreamer1.0-tools"), ("gst:videotestsrc", "gstreamer")],
)
def test_a_camera_that_a_missing_program_reads_names_its_package(uri, fix):
    checks(traps.check_camera_program(uri, lambda name: None), Status.WARN, fix)
    checks(traps.check_camera_program(uri, lambda name: f"/usr/bin/{name}"), Status.OK, "/usr/bin/")
    checks(machine.check_camera(uri), Status.OK, uri)


@pytest.mark.parametrize("uri", ["", "0", "/dev/video0", "rtsp://camera/1"])
def test_other_cameras_need_no_program(uri):
    assert traps.check_camera_program(uri, lambda name: None) is None


def test_a_camera_by_its_number_among_several_is_told_of_the_name_that_stays(tmp_path: Path):
    for number in (0, 1):
        (tmp_path / f"video{number}").touch()
    found = machine.check_camera("0", tmp_path, tmp_path / "names", lambda path: True)
    checks(found, Status.OK, "/dev/v4l/by-id")
    assert "by-id" not in machine.check_camera("", tmp_path, tmp_path / "names", lambda path: True).detail


def test_two_opencvs_and_a_picamera2_for_another_numpy_are_named():
    both = ["opencv-python", "opencv-python-headless"]
    checks(traps.check_mixed(Probed({"opencv": both, "picamera2": ""})), Status.WARN, "pip uninstall -y opencv-python")
    broken = {"opencv": both[1:], "picamera2": "ValueError: numpy.dtype size changed"}
    checks(traps.check_mixed(Probed(broken)), Status.WARN, "picamera2", "pip uninstall numpy")
    checks(traps.check_mixed(Probed({"opencv": both[1:], "picamera2": "fits"})), Status.OK, "picamera2 fits")
    checks(traps.check_mixed(Probed(error="no")), Status.UNKNOWN)


def test_a_provider_that_this_onnxruntime_lacks_is_not_silently_the_processor():
    lacks = Probed({"available": ["CPU"], "used": "", "refused": "built without CUDA"})
    checks(traps.check_provider(lacks, "cuda"), Status.WARN, "cuda was asked for", "onnxruntime-gpu")
    checks(traps.check_provider(lacks, "cuda", "5.15.148-tegra"), Status.WARN, "nv_tegra_release")
    has = Probed({"available": ["CUDA", "CPU"], "used": "CUDA", "refused": ""})
    checks(traps.check_provider(has, "auto"), Status.OK, "CUDA in use of CUDA, CPU")
    checks(traps.check_provider(Probed(error="no module"), "auto"), Status.UNKNOWN)


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [("0", Status.OK, "not slowed"), ("50001", Status.WARN, "under-voltage"), ("4", Status.WARN, "slowed down now")],
)
def test_power_of_a_pi_is_read_from_its_firmware(tmp_path: Path, flags, status, words):
    folder = tmp_path / "devices/platform/soc/soc:firmware"
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text(flags)
    checks(traps.check_power(tmp_path), status, words)


def test_power_of_a_board_that_tells_nothing_is_unknown(tmp_path: Path):
    checks(traps.check_power(tmp_path), Status.UNKNOWN)


def test_a_clock_that_was_never_set_is_named(tmp_path: Path):
    now_s = 1_800_000_000.0
    checks(traps.check_clock(86_400.0, tmp_path / "no", tmp_path / "none"), Status.WARN, "1970-01-02", "set-ntp")
    checks(traps.check_clock(now_s, tmp_path / "no", tmp_path), Status.WARN, "not yet set by the network")
    (tmp_path / "synchronized").touch()
    checks(traps.check_clock(now_s, tmp_path / "synchronized", tmp_path), Status.OK, "2027")
    checks(traps.check_clock(now_s, tmp_path / "no", tmp_path / "none"), Status.OK)  # another program sets it


def test_a_port_that_is_taken_is_said_before_a_second_agent_finds_out():
    api = ApiSettings(enabled=True)
    checks(traps.check_port(api, lambda host, port: True), Status.WARN, "a second agent", "systemctl status")
    checks(traps.check_port(api, lambda host, port: False), Status.OK, "is free")
    assert traps.check_port(ApiSettings(), lambda host, port: True) is None
