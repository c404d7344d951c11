"""Boots the unit for real, with systemd-nspawn: `sudo python -m tools.boot_unit --root DIR`; the findings as JSON.

DIR is a Debian root with systemd and Python; where there is none it is made with debootstrap (300 MB, from the
network). The program and what it needs are taken from this source tree and this Python's site-packages, so the root's
Python must be of the same version.

Exit code 1: something that was to be shown was not; 2: this machine cannot boot a container.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from edge_agent.service.unit import UNIT_NAME, render

TREE = Path(__file__).resolve().parents[2]
PACKAGES = "systemd,systemd-sysv,dbus,python3,libgomp1,libglib2.0-0"
HOME = "/opt/edge-agent"
CONFIG = """[run]
camera = "http://127.0.0.1:9000/stream.mjpg"
[api]
enabled = true
[limits]
deadline_ms = 60000
"""
SCRIPT = """#!/usr/bin/python3
import sys
from edge_agent.cli.main import main
sys.exit(main())
"""
# An event loop that stands still while the process and its threads live on: what the watchdog is for.
STALL = """import signal, time
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(3600))
"""
DROP_IN = f"[Service]\nEnvironment=PYTHONPATH={HOME}/stall:{HOME}/tree:{HOME}/site\n"
CHECK = f"""[Service]
Environment=PYTHONPATH={HOME}/tree:{HOME}/site
ExecStart=/usr/bin/python3 {HOME}/tree/tools/boot_unit/inside.py /findings/findings.json
StandardOutput=journal+console
StandardError=journal+console
"""
CAMERA = f"""[Unit]
Before={UNIT_NAME}
[Service]
Environment=PYTHONPATH={HOME}/site
ExecStart=/usr/bin/python3 {HOME}/tree/tools/boot_unit/camera.py 9000
"""


def main() -> int:
    """Prepare, boot, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a Debian root, made where there is none")
    parser.add_argument("--suite", default="bookworm", help="what is made")
    parser.add_argument("--mirror", default="", help="where it comes from; empty: where debootstrap takes it from")
    parser.add_argument("--minutes", type=float, default=8.0, help="the longest that it may take")
    given = parser.parse_args()
    missing = [tool for tool in ("systemd-nspawn", "debootstrap") if shutil.which(tool) is None]
    if missing:
        print(f"{', '.join(missing)} is missing: apt-get install systemd-container debootstrap", file=sys.stderr)
        return 2
    if not (given.root / "bin").exists():
        make = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", given.suite, str(given.root)]
        make += [given.mirror] if given.mirror else []
        subprocess.run(make, check=True, stdout=sys.stderr)
    furnish(given.root)
    with tempfile.TemporaryDirectory(prefix="boot-unit-") as folder:
        findings = Path(folder) / "findings.json"
        said = boot(given.root, Path(folder), given.minutes * 60)
        if not findings.exists():
            print(said[-3000:], file=sys.stderr)
            print("the container told nothing", file=sys.stderr)
            return 2
        found = json.loads(findings.read_text(encoding="utf-8"))
    print(json.dumps(found, indent=1))
    return int(not all(one["shown"] for one in found["claims"]))


def furnish(root: Path) -> None:
    """Put the unit, as `service install` writes it, its configuration and the check into the root."""
    home, units = root / HOME[1:], root / "etc/systemd/system"
    for folder in ("bin", "tree", "site", "stall"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    program = home / "bin/edge-agent"
    program.write_text(SCRIPT, encoding="utf-8")
    program.chmod(0o755)
    (home / "stall/sitecustomize.py").write_text(STALL, encoding="utf-8")
    (root / "etc/edge-agent").mkdir(exist_ok=True)
    (root / "etc/edge-agent/config.toml").write_text(CONFIG, encoding="utf-8")
    (units / f"{UNIT_NAME}.d").mkdir(parents=True, exist_ok=True)
    (units / f"{UNIT_NAME}.d/stall.conf").write_text(DROP_IN, encoding="utf-8")
    texts = {UNIT_NAME: render([f"{HOME}/bin/edge-agent"]), "check.service": CHECK, "camera.service": CAMERA}
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    for name, text in texts.items():
        (units / name).write_text(text, encoding="utf-8")
        (wanted / name).unlink(missing_ok=True)
        (wanted / name).symlink_to(f"../{name}")


def boot(root: Path, folder: Path, most_s: float) -> str:
    """Boot until the check powers off; what the console said."""
    command = [
        *("systemd-nspawn", "-D", str(root), "--register=no", "--keep-unit", "--private-network", "--boot"),
        *("--console=pipe", "--volatile=overlay", f"--bind={folder}:/findings"),
        *(f"--bind-ro={TREE}:{HOME}/tree", f"--bind-ro={sysconfig.get_path('purelib')}:{HOME}/site"),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=most_s, errors="replace"
        )
    except subprocess.TimeoutExpired as late:
        return str(late.stdout or b"")[-3000:]
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
