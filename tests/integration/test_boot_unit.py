"""The unit in a container that really boots: only where EDGE_AGENT_BOOT_ROOT names a Debian root for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = os.environ.get("EDGE_AGENT_BOOT_ROOT", "")


@pytest.mark.skipif(not DEBIAN, reason="EDGE_AGENT_BOOT_ROOT names no Debian root to boot")
@pytest.mark.skipif(shutil.which("systemd-nspawn") is None, reason="systemd-nspawn is not installed")
@pytest.mark.skipif(os.getuid() != 0, reason="booting a container needs root")
def test_the_unit_becomes_ready_survives_a_stalled_loop_and_drains() -> None:
    command = [sys.executable, "-m", "tools.boot_unit", "--root", DEBIAN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode != 2, done.stderr[-2000:]
    claims = json.loads(done.stdout)["claims"]
    assert len(claims) >= 9
    assert [one for one in claims if not one["shown"]] == []
