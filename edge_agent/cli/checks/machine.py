"""Checks of the machine: camera, microphone, heat, memory, disk. Roots can be given, so that tests need no hardware."""

from __future__ import annotations

import grp
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from edge_agent.cli.checks.base import Check, Probed, Status
from edge_agent.monitors.heat import THERMAL, hottest_celsius

HOT_CELSIUS = 80.0
DISK_SPARE_MB = 50.0
MEMORY_SPARE_MB = 150.0
PLUG_IN = "plug in a USB camera, or use a network camera: --camera rtsp://..."
NO_CAMERAS = ("bcm2835-codec", "bcm2835-isp", "rpivid", "rpi-hevc", "pispbe", "tegra-camrtc")
"""Drivers of video codecs and picture processors, which a board without a camera has, too."""


def _may_use(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def check_camera(
    wanted: str,
    dev: Path = Path("/dev"),
    names: Path = Path("/sys/class/video4linux"),
    may_use: Callable[[Path], bool] = _may_use,
) -> Check:
    """Cameras under /dev that this user may open. `wanted` is run.camera: an index, a path, a URL or empty."""
    cameras = {path: label for path in sorted(dev.glob("video*")) if (label := _camera_name(path, names)) is not None}
    if wanted.partition(":")[0] in ("rpicam", "csi", "gst") and "://" not in wanted:
        return Check("camera", Status.OK, f"{wanted} is read by a program of its own (not opened here)")
    if "://" in wanted:
        return Check("camera", Status.OK, f"{wanted.split('@')[-1]} is used, over the network (not asked here)")
    named = dev / f"video{wanted}" if wanted.isdigit() else Path(wanted) if wanted else None
    if named is not None and not named.exists():
        fix = f"set it to: {', '.join(map(str, cameras))}" if cameras else PLUG_IN
        return Check("camera", Status.WARN, f"run.camera is {wanted}, but there is no {named}", fix)
    if not cameras and named is None:
        fix = f"{PLUG_IN}; photos and clips need none"
        return Check("camera", Status.WARN, f"there is no camera at {dev}/video*", fix)
    shut = [path for path in ([named] if named else cameras) if not may_use(path)]
    if shut:
        fix = f"sudo usermod -aG {_group_of(shut[0], 'video')} $USER, then log in again"
        return Check("camera", Status.WARN, f"{shut[0]} is there, but this user may not open it", fix)
    several = (
        " (by number; a path under /dev/v4l/by-id stays the same)" if wanted.isdigit() and len(cameras) > 1 else ""
    )
    return Check("camera", Status.OK, ", ".join(f"{path} {label}".strip() for path, label in cameras.items()) + several)


def _camera_name(path: Path, names: Path) -> str | None:
    """What the driver calls it; None if it is no camera."""
    try:
        label = (names / path.name / "name").read_text(errors="replace").strip()
    except OSError:
        return ""
    return None if label.startswith(NO_CAMERAS) else label[:40]


def _group_of(path: Path, usual: str) -> str:
    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return usual


def check_microphone(probed: Probed, wanted: str = "") -> Check:
    """Microphones that PortAudio sees; both parts of it are extras. `wanted` is run.microphone: `default`, part of a
    name, or empty.
    """
    needs = "only --mic needs" if not wanted else f"run.microphone is {wanted[:40]} and needs"
    if probed.error:
        return Check("microphone", Status.WARN, probed.error, "arecord -l")
    missing, inputs = probed.values["missing"], probed.values["inputs"]
    if missing == "sounddevice":
        fix = "pip install 'edge-agent[mic]' && sudo apt install libportaudio2"
        return Check("microphone", Status.WARN, f"sounddevice is not installed; {needs} it", fix)
    if missing == "portaudio":
        fix = "sudo apt install libportaudio2"
        return Check("microphone", Status.WARN, f"PortAudio is not installed; {needs} it", fix)
    if not inputs:
        fix = "arecord -l; if it lists one: sudo usermod -aG audio $USER, then log in again"
        return Check("microphone", Status.WARN, f"no microphone is seen; {needs} one", fix)
    more = f" and {len(inputs) - 3} more" if len(inputs) > 3 else ""
    there = ", ".join(name[:40] for name in inputs[:3]) + more
    parts = wanted.lower().split()  # PortAudio takes any device whose name has all of these words
    if wanted not in ("", "default") and not any(all(part in name.lower() for part in parts) for name in inputs):
        words = f"run.microphone is {wanted[:40]}, and no microphone is called so"
        return Check("microphone", Status.WARN, words, f"set it to a part of: {there}")
    return Check("microphone", Status.OK, there)


def check_heat(root: Path = THERMAL) -> Check:
    """The hottest thermal zone; from 80 degrees on, boards slow down."""
    celsius = hottest_celsius(root)
    if celsius is None:
        return Check("heat", Status.UNKNOWN, f"no thermal zone can be read under {root}")
    if celsius >= HOT_CELSIUS:
        fix = "give it a fan or air: from 80 to 85 degrees on, boards slow themselves down"
        return Check("heat", Status.WARN, f"{celsius:.0f} degrees Celsius", fix)
    return Check("heat", Status.OK, f"{celsius:.0f} degrees Celsius")


def check_memory(bundle_mb: float | None, meminfo: Path = Path("/proc/meminfo")) -> Check:
    """Free memory beside what the device's model takes on disk; the model's own check refuses what cannot fit."""
    free_mb = _available_mb(meminfo)
    if free_mb is None:
        return Check("memory", Status.UNKNOWN, f"{meminfo} does not say how much is free")
    model = "" if bundle_mb is None else f"; the model's files take {bundle_mb:.0f} MB"
    detail = f"{free_mb:.0f} MB free{model}"
    if free_mb < MEMORY_SPARE_MB + 6 * (bundle_mb or 0.0):
        return Check("memory", Status.WARN, detail, "stop other programs: ps -eo rss,comm --sort=-rss | head")
    return Check("memory", Status.OK, detail)


def _available_mb(meminfo: Path) -> float | None:
    try:
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e6
    except (OSError, ValueError, IndexError):
        return None
    return None


def check_disk(probed: Probed, log_max_mb: float, may_write: Callable[[Path], bool] | None = None) -> Check:
    """The state folder, or the one it would be made in, can be written to and has room for two decision logs."""
    if probed.error:
        return Check("disk", Status.UNKNOWN, f"the state folder is not known: {probed.error}")
    folder = Path(probed.values["path"])
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free_mb = shutil.disk_usage(existing).free / 1e6
    except (OSError, StopIteration) as error:
        return Check("disk", Status.WARN, f"{folder} cannot be looked at: {error}", f"mkdir -p {folder}")
    detail = f"{folder}, {free_mb:.0f} MB free"
    if not existing.is_dir():
        return Check("disk", Status.WARN, f"{existing} is no folder", "set run.state_dir to another folder")
    writable = may_write(existing) if may_write else os.access(existing, os.W_OK | os.X_OK)
    if not writable:
        fix = f"sudo mkdir -p {folder} && sudo chown $USER {folder}"
        return Check("disk", Status.WARN, f"{folder} cannot be written to: no decision log, no lasting ledger", fix)
    if free_mb < 2 * log_max_mb + DISK_SPARE_MB:
        return Check("disk", Status.WARN, detail, f"make room: du -xh {existing} | sort -h | tail")
    return Check("disk", Status.OK, detail)
