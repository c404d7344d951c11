"""Where bundles are found: a path, then the environment, then the user's folder, then the shipped ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.errors import ModelError
from edge_agent.store import models
from edge_agent.vlm import locate


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundles named by EDGE_AGENT_MODELS, with a copy of the cloud bundle under two names."""
    folder = tmp_path / "bundles"
    for name in ("cloud-vqa", "my-own"):
        shutil.copytree(models.find_bundle("cloud-vqa"), folder / name)
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(folder))
    return folder


def test_the_shipped_pair_is_found_by_name() -> None:
    assert {"edge-vqa", "cloud-vqa"} <= {info.name for info in models.list_bundles()}


def test_a_path_is_taken_as_it_is(other: Path) -> None:
    assert models.find_bundle(other / "my-own") == other / "my-own"
    assert models.find_bundle(str(other / "my-own")) == other / "my-own"


def test_the_environment_comes_before_the_shipped_ones(other: Path) -> None:
    assert models.find_bundle("cloud-vqa") == other / "cloud-vqa"
    assert models.find_bundle("my-own") == other / "my-own"
    assert models.find_bundle("edge-vqa").parent != other


def test_the_users_folder_comes_before_the_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "share" / "edge-agent" / "models" / "cloud-vqa"
    shutil.copytree(models.find_bundle("cloud-vqa"), home)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert models.find_bundle("cloud-vqa") == home


def test_an_installed_package_finds_the_models_inside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "edge_agent" / "models" / "cloud-vqa"
    shutil.copytree(models.find_bundle("cloud-vqa"), inside)
    monkeypatch.setattr(locate, "_PACKAGE", tmp_path / "edge_agent")
    assert models.find_bundle("cloud-vqa") == inside


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean edge-vqa"):
        models.find_bundle("edge-vqq")


def test_an_unlike_name_is_told_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"known here: .*edge-vqa"):
        models.find_bundle("zzzzzzzz")


def test_a_folder_that_is_no_bundle_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model bundle"):
        models.find_bundle(tmp_path)


def test_verifying_lists_every_problem(other: Path) -> None:
    folder = other / "my-own"
    assert models.verify_bundle(folder) == []
    (folder / "config.json").unlink()
    raw = bytearray((folder / "tokenizer.json").read_bytes())
    raw[7] ^= 1
    (folder / "tokenizer.json").write_bytes(raw)
    problems = " ".join(models.verify_bundle(folder))
    assert "config.json is missing" in problems
    assert "tokenizer.json is damaged" in problems


def test_verifying_something_else_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    assert "no manifest.json" in models.verify_bundle(tmp_path)[0]


def test_a_listed_bundle_tells_size_version_and_encoder(other: Path) -> None:
    info = next(i for i in models.list_bundles() if i.name == "my-own")
    assert info.path == other / "my-own"
    assert info.size_bytes > 1_000_000
    assert info.encoder_id
    assert not info.has_vision


def test_a_user_without_a_home_finds_the_shipped_models(tmp_path: Path) -> None:
    """As systemd's DynamicUser is where no NSS module knows it: no HOME, and no line in the user database."""
    code = (
        "import pwd, sys\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "from edge_agent.cli.main import main\n"
        "sys.exit(main(['models', 'list', '--json']))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOME", "XDG_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "edge-vqa" in done.stdout
