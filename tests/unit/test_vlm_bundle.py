"""Bundles are checked byte for byte before a graph is loaded, and every refusal says what to type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge_agent.errors import ModelError, SelfTestError
from edge_agent.vlm import Bundle, bundle, find_bundle, self_test, session
from edge_agent.vlm.bundle import DECODER, EMBED, VISION
from edge_agent.vlm.manifest import read_manifest

SHIPPED = ("edge-vqa", "cloud-vqa")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The cloud bundle (the smaller one), to be damaged."""
    folder = tmp_path / "cloud-vqa"
    shutil.copytree(find_bundle("cloud-vqa"), folder)
    return folder


def change(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_is_as_its_manifest_says(name: str) -> None:
    opened = Bundle.open(find_bundle(name))
    assert opened.name == name
    assert opened.hidden_size > 0
    assert opened.tokens_per_image * opened.hidden_size <= 15_000, "int8 embeddings must stay under 15 kB"
    assert opened.calibration.eos_token_ids


def test_the_pair_shares_an_encoder_that_only_the_edge_has() -> None:
    edge, cloud = (Bundle.open(find_bundle(name)) for name in SHIPPED)
    assert edge.encoder_id == cloud.encoder_id
    assert (edge.has_vision, cloud.has_vision) == (True, False)
    assert edge.hidden_size == cloud.hidden_size


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_is_small_and_complete(name: str) -> None:
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert on_disk == {entry.name for entry in manifest.files} | {"manifest.json", "README.md"}
    assert manifest.size_bytes < 40_000_000
    card = (folder / "README.md").read_text("utf-8")
    for word in ("Licence", "ImageNet", "DAQUAR", "Flickr8k", "COCO", "easy-VQA", "blind", "intended use"):
        assert word.lower() in card.lower(), f"the card of {name} does not speak of {word}"


@pytest.mark.parametrize("name", [EMBED, DECODER, "tokenizer.json", "config.json", "preprocessor_config.json"])
def test_one_flipped_byte_anywhere_is_refused_with_the_file_and_the_command(copy: Path, name: str) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(ModelError) as caught:
        Bundle.open(copy)
    assert name in str(caught.value)
    assert "edge-agent models verify" in str(caught.value)


def test_a_truncated_file_is_refused_by_its_size(copy: Path) -> None:
    (copy / DECODER).write_bytes((copy / DECODER).read_bytes()[:1000])
    with pytest.raises(ModelError, match="has 1000 bytes instead of"):
        Bundle.open(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / EMBED).unlink()
    with pytest.raises(ModelError, match=r"embed_tokens\.onnx is missing"):
        Bundle.open(copy)


def test_a_damaged_file_is_found_before_any_session_opens(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / DECODER).write_bytes(b"\0" * (copy / DECODER).stat().st_size)
    monkeypatch.setattr(session, "open_session", lambda *_: pytest.fail("opened a session"))
    with pytest.raises(ModelError, match="damaged"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": 99}, "format 99"),
        ({"files": [{"name": "../../etc/passwd", "size_bytes": 1, "sha256": "0"}]}, "outside the bundle"),
        ({"files": [{"name": "/etc/passwd", "size_bytes": 1, "sha256": "0"}]}, "outside the bundle"),
        ({"files": [{"name": "config.json", "size_bytes": -1, "sha256": "0"}]}, "outside the bundle"),
        ({"files": []}, "does not list"),
        ({"files": 3}, "not a manifest"),
        ({"calibration": {}}, "not a manifest"),
        ({"hidden_size": "wide"}, "not a manifest"),
    ],
)
def test_a_bad_manifest_is_refused_in_words(copy: Path, values: dict[str, object], words: str) -> None:
    change(copy, **values)
    with pytest.raises(ModelError, match=words):
        Bundle.open(copy)


@pytest.mark.parametrize("text", ["", "not json", "[]", "\0\0"])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        Bundle.open(copy)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model bundle"):
        Bundle.open(tmp_path)


def test_a_model_that_does_not_fit_in_memory_is_refused_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "memory_available_bytes", lambda: 10 << 20)
    with pytest.raises(ModelError, match="10 MiB are free"):
        Bundle.open(find_bundle("edge-vqa"))


def test_unknown_free_memory_does_not_stop_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MEMINFO", Path("/nonexistent"))
    assert bundle.Bundle.open(find_bundle("cloud-vqa")).name == "cloud-vqa"


def test_the_self_test_passes_on_the_shipped_bundle_and_fails_on_other_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "edge-vqa"
    shutil.copytree(find_bundle("edge-vqa"), folder)
    opened = Bundle.open(folder)
    assert opened.manifest.golden is not None
    assert self_test(opened) == opened.manifest.golden.answer
    change(folder, golden={"embedding": [9.0] * 16, "answer": opened.manifest.golden.answer})
    with pytest.raises(SelfTestError, match="another version of onnxruntime"):
        self_test(Bundle.open(folder))


def test_the_self_test_of_a_bundle_without_vision_says_so() -> None:
    with pytest.raises(SelfTestError, match="edge bundle"):
        self_test(Bundle.open(find_bundle("cloud-vqa")))


def test_the_vision_graph_is_listed_only_where_it_is() -> None:
    assert not (find_bundle("cloud-vqa") / VISION).exists()
