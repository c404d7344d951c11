"""systemd's own verdict on the unit: every setting is known, and how exposed the service is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.service import unit

THRESHOLD = 15
"""Tenths of systemd's exposure score, 0 to 100: 1.3 was measured with systemd 252."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt install systemd")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


def written(folder: Path, text: str) -> str:
    path = folder / unit.UNIT_NAME
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("user", [None, "root"])
def test_systemd_knows_every_setting(tmp_path, user):
    text = unit.render([shutil.which("true") or "/bin/true"], user=user)
    done = analyze("verify", "--recursive-errors=yes", written(tmp_path, text))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_setting_that_systemd_does_not_know_would_be_seen(tmp_path):
    text = unit.render([shutil.which("true") or "/bin/true"]).replace("ProtectClock=", "ProtectClocks=")
    done = analyze("verify", "--recursive-errors=yes", written(tmp_path, text))
    assert done.returncode != 0
    assert "ProtectClocks" in done.stderr


@pytest.mark.parametrize("user", [None, "camera"])
def test_the_service_is_confined(tmp_path, user):
    text = unit.render([shutil.which("true") or "/bin/true"], user=user)
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={THRESHOLD}", written(tmp_path, text))
    assert done.returncode == 0, done.stdout


def test_without_its_confinement_it_would_not_pass(tmp_path):
    text = unit.render([shutil.which("true") or "/bin/true"]).replace("ProtectSystem=strict\n", "")
    text = text.replace("SystemCallFilter=@system-service\n", "").replace("PrivateUsers=yes\n", "")
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={THRESHOLD}", written(tmp_path, text))
    assert done.returncode != 0
