"""Checks for traps that others fell into: camera programs, mixed libraries, providers, power, clock, a taken port."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from edge_agent.cli.checks.base import Check, Probed, Status
from edge_agent.config import ApiSettings
from edge_agent.monitors.power import SYS, throttle

SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
TIMESYNC = Path("/run/systemd/timesync")
OLDEST_S = 1_750_000_000.0  # June 2025: no clock that is right shows less
CAMERA_PROGRAMS = {
    "rpicam": (("rpicam-vid", "libcamera-vid"), "sudo apt install rpicam-apps-lite"),
    "csi": (("gst-launch-1.0",), "sudo apt install gstreamer1.0-tools"),
    "gst": (("gst-launch-1.0",), "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good"),
}
PORT_WAIT_S = 0.5


def check_camera_program(wanted: str, which: Callable[[str], str | None] = shutil.which) -> Check | None:
    """The program that reads the configured camera; None where none is needed. No Python binding is: those come from
    apt alone, and only for the system's own Python.
    """
    needed = CAMERA_PROGRAMS.get(wanted.partition(":")[0])
    if needed is None:
        return None
    programs, fix = needed
    found = next((path for name in programs if (path := which(name))), None)
    if found is None:
        return Check(
            "camera tool", Status.WARN, f"run.camera is {wanted.split(':')[0]}:, but {programs[0]} is missing", fix
        )
    return Check("camera tool", Status.OK, found)


def check_mixed(probed: Probed) -> Check:
    """One OpenCV, and a picamera2 that fits this NumPy where this environment sees the system's packages."""
    if probed.error:
        return Check("mixture", Status.UNKNOWN, f"the installed packages cannot be listed: {probed.error}")
    opencv, picamera2 = probed.values["opencv"], probed.values["picamera2"]
    if len(opencv) > 1:
        fix = f"pip uninstall -y {' '.join(opencv)} && pip install opencv-python-headless"
        return Check("mixture", Status.WARN, f"{' and '.join(opencv)} overwrite each other's files", fix)
    if picamera2 and picamera2 != "fits":
        detail = f"the system's picamera2 does not fit this NumPy ({picamera2}); edge-agent reads rpicam: without it"
        return Check("mixture", Status.WARN, detail, "pip uninstall numpy, where the system's is to be used by both")
    return Check("mixture", Status.OK, "one OpenCV" + (", picamera2 fits" if picamera2 else ""))


def check_provider(probed: Probed, wanted: str, release: str = "") -> Check:
    """What model.provider asks for is what ONNX Runtime has: it would take the CPU without a word."""
    if probed.error:
        return Check("provider", Status.UNKNOWN, f"it cannot be asked: {probed.error}")
    there = ", ".join(probed.values["available"])
    if probed.values["refused"]:
        jetson = " made for this JetPack (see its release: cat /etc/nv_tegra_release)" if "tegra" in release else ""
        fix = f'set model.provider = "auto", or install an onnxruntime-gpu{jetson}'
        return Check("provider", Status.WARN, f"{wanted} was asked for, there is {there}", fix)
    return Check("provider", Status.OK, f"{probed.values['used']} in use of {there}")


def check_power(root: Path = SYS) -> Check:
    """The supply is strong enough, and the board not slowed down."""
    now = throttle(root)
    if now.undervoltage:
        fix = "use the board's own power supply and a short cable: vcgencmd get_throttled"
        return Check("power", Status.WARN, "under-voltage: the board may reset at any moment", fix)
    if now.slowed:
        return Check("power", Status.WARN, "the board is slowed down now", "give it air or a stronger supply")
    if now.slowed is None and now.undervoltage is None:
        return Check("power", Status.UNKNOWN, "this board does not tell whether it is slowed down")
    return Check("power", Status.OK, "not slowed down")


def check_clock(wall_s: float, synchronised: Path = SYNCHRONISED, service: Path = TIMESYNC) -> Check:
    """The time of day: budgets are kept by the day, certificates and signed tokens are judged by it."""
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(0.0, wall_s)))
    fix = "sudo timedatectl set-ntp true (a board without a battery forgets the time)"
    if wall_s < OLDEST_S:
        return Check("clock", Status.WARN, f"it is {shown} here: certificates will not be believed", fix)
    if service.is_dir() and not synchronised.exists():
        return Check("clock", Status.WARN, f"{shown}, but not yet set by the network", fix)
    return Check("clock", Status.OK, shown)


def check_port(api: ApiSettings, listening: Callable[[str, int], bool] | None = None) -> Check | None:
    """Whether something listens where the API is to; None where there is to be none."""
    if not api.enabled:
        return None
    place = f"{api.host}:{api.port}"
    if (listening or _listening)(api.host, api.port):
        fix = "systemctl status edge-agent (if that is not it: set another api.port)"
        return Check("port", Status.WARN, f"something listens at {place}: a second agent would not start", fix)
    return Check("port", Status.OK, f"{place} is free")


def _listening(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PORT_WAIT_S):
            return True
    except OSError:
        return False
