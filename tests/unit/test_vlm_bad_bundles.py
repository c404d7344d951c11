"""What is wrong with a model is said by its file, at the opening, and before memory is taken for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.checks import probes
from edge_agent.cli.main import main
from edge_agent.errors import InputError, ModelError
from edge_agent.types import AudioWindow, Modality
from edge_agent.vlm import AudioEncoder, Bundle, Generator, VisionEncoder, audio, find_bundle, providers, session
from edge_agent.vlm.bundle import AUDIO, DECODER, EMBED, VISION
from edge_agent.vlm.layout import Layout, SoundInput
from edge_agent.vlm.manifest import sha256_of

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-smolvlm"
OPSET_17 = b"\x42\x02\x10\x11"  # field 8 of a ModelProto, an OperatorSetId of version 17


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "pulled"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_bundle("edge-vqa"), tmp_path / "own"))


def use(folder: Path) -> None:
    """Open everything, as an agent does."""
    bundle = Bundle.open(folder)
    VisionEncoder(bundle)
    Generator(bundle)


def resigned(folder: Path) -> None:
    """Bring the manifest up to date with the files, as somebody would who packed the wrong ones."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["files"]:
        entry["size_bytes"] = (folder / entry["name"]).stat().st_size
        entry["sha256"] = sha256_of(folder / entry["name"])
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("graph", [VISION, EMBED, DECODER])
def test_a_truncated_graph_of_a_pulled_model_is_named(pulled: Path, graph: str) -> None:
    path = pulled / graph
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=path.name):
        use(pulled)


@pytest.mark.parametrize("graph", [VISION, EMBED, DECODER])
def test_verify_opens_a_folder_of_which_no_hash_is_known(
    pulled: Path, graph: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "verify", str(pulled)]) == 0
    assert capfd.readouterr().out == "pulled: no hashes are known of its files; it opens and fits together\n"
    path = pulled / graph
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["models", "verify", str(pulled), "--json"]) == 4
    made = json.loads(capfd.readouterr().out)
    assert (made["ok"], made["checked"]) == (False, "opened")
    assert path.name in made["problems"][0]


def test_the_doctor_knows_of_which_folder_no_hash_is_known(pulled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AGENT_MODELS", str(pulled.parent))
    compared = {one["name"]: one["compared"] for one in probes.models()["bundles"]}
    assert compared == {"pulled": False, "edge-vqa": True, "cloud-vqa": True}


@pytest.mark.parametrize(("graph", "other"), [(VISION, EMBED), (EMBED, DECODER), (DECODER, VISION)])
@pytest.mark.parametrize("kind", ["pulled", "own"])
def test_a_swapped_graph_is_named(request: pytest.FixtureRequest, kind: str, graph: str, other: str) -> None:
    folder: Path = request.getfixturevalue(kind)
    shutil.copy(folder / other, folder / graph)
    if kind == "own":
        resigned(folder)
    with pytest.raises(ModelError, match=f"{Path(graph).name} has no .*: it is not what its name says"):
        use(folder)


def test_a_graph_of_another_size_of_model_is_refused(pulled: Path) -> None:
    config = json.loads((pulled / "config.json").read_text())
    config["text_config"]["hidden_size"] = 64
    (pulled / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"embed_tokens\.onnx is 32 wide, the model 64"):
        Generator(Bundle.open(pulled))


@pytest.mark.parametrize("change", [+50, -50])
def test_a_vocabulary_that_disagrees_with_the_embedding_table_is_refused(pulled: Path, change: int) -> None:
    config = json.loads((pulled / "config.json").read_text())
    config["text_config"]["vocab_size"] += change
    (pulled / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"gives 420 logits|has fewer than the {420 + change} rows"):
        Generator(Bundle.open(pulled))


def test_a_tokenizer_with_more_tokens_than_the_table_has_rows_is_refused(pulled: Path) -> None:
    path = pulled / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 420, "content": "<one_too_many>"})
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"tokenizer\.json has tokens up to 420, the embedding table only 420 rows"):
        Generator(Bundle.open(pulled))


def changed(path: Path, **keys: Any) -> None:
    """Change keys of a JSON file; `part__key` is one of a part."""
    value = json.loads(path.read_text())
    for name, wanted in keys.items():
        part, _, key = name.rpartition("__")
        (value[part] if part else value)[key] = wanted
    path.write_text(json.dumps(value))


def test_a_tokenizer_with_fewer_tokens_than_the_table_has_rows_is_another_models(own: Path) -> None:
    path = own / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {word: number for word, number in words.items() if number < 2000}
    path.write_text(json.dumps(tokenizer))
    resigned(own)
    with pytest.raises(ModelError, match=rf"tokenizer\.json has 2000 tokens, the embedding table {len(words)} rows"):
        Generator(Bundle.open(own))


@pytest.mark.parametrize("kind", ["pulled", "own"])
def test_an_end_token_without_a_row_is_named_by_its_own_file(request: pytest.FixtureRequest, kind: str) -> None:
    folder: Path = request.getfixturevalue(kind)
    changed(folder / "generation_config.json", eos_token_id=99_999)
    if kind == "own":
        resigned(folder)
    with pytest.raises(ModelError, match=r"generation_config\.json has tokens up to 99999"):
        Generator(Bundle.open(folder))


@pytest.mark.parametrize("context", [0, -5, 10**12])
@pytest.mark.parametrize("kind", ["pulled", "own"])
def test_a_context_that_no_memory_holds_is_refused(request: pytest.FixtureRequest, kind: str, context: int) -> None:
    folder: Path = request.getfixturevalue(kind)
    changed(folder / "config.json", text_config__max_position_embeddings=context)
    if kind == "own":
        resigned(folder)
    with pytest.raises(ModelError, match=rf"config\.json has a context of {context} tokens, not 1 to"):
        Bundle.open(folder)


@pytest.mark.parametrize(("size", "patch", "told"), [(32, 0, None), (8, 32, None), (32, 8, "many"), (32, 8, -4)])
def test_a_picture_of_no_tokens_is_refused(pulled: Path, size: int, patch: int, told: object) -> None:
    changed(pulled / "config.json", vision_config__image_size=size, vision_config__patch_size=patch)
    changed(pulled / "processor_config.json", image_seq_len=told)
    with pytest.raises(ModelError, match="does not say how many tokens a picture has"):
        Bundle.open(pulled)


def test_a_runtime_that_fails_is_quoted_once(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    changed(own / "config.json", text_config__vocab_size=100_000)
    resigned(own)
    with pytest.raises(ModelError, match="fewer than the 100000 rows"):
        Generator(Bundle.open(own))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "generation_config.json", VISION, EMBED, DECODER])
@pytest.mark.parametrize("kind", ["pulled", "own"])
def test_what_to_type_names_the_very_folder(request: pytest.FixtureRequest, kind: str, name: str) -> None:
    folder: Path = request.getfixturevalue(kind)
    (folder / name).write_bytes(b"[]")
    with pytest.raises(ModelError) as caught:
        use(folder)
    assert caught.value.hint == f"edge-agent models verify {folder}"


@pytest.mark.parametrize("graph", [VISION, EMBED, DECODER])
def test_a_graph_for_a_newer_runtime_says_so(pulled: Path, graph: str) -> None:
    raw = (pulled / graph).read_bytes()
    assert raw.count(OPSET_17) >= 1, "the fixture's opset is not where this test thinks"
    at = raw.rindex(OPSET_17)
    (pulled / graph).write_bytes(raw[: at + 3] + b"\x63" + raw[at + 4 :])
    with pytest.raises(ModelError, match=rf"{Path(graph).name} was made for a newer ONNX Runtime than .*--upgrade"):
        use(pulled)


def test_a_model_over_the_free_memory_is_refused_before_a_graph_is_opened(
    pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "memory_available_bytes", lambda: 20 << 20)
    monkeypatch.setattr(session, "open_session", lambda *_: pytest.fail("opened a session"))
    with pytest.raises(ModelError, match="20 MiB are free"):
        Bundle.open(pulled)


def test_weights_beside_a_graph_count_for_the_memory(pulled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "memory_available_bytes", lambda: 60 << 20)
    Bundle.open(pulled)
    with (pulled / "onnx" / "decoder_model_merged.onnx_data").open("wb") as file:
        file.truncate(100 << 20)  # sparse: no disk is taken
    with pytest.raises(ModelError, match="60 MiB are free"):
        Bundle.open(pulled)


class Silent:
    """An audio graph that answers zeros, and counts."""

    def __init__(self, outputs: tuple[int, ...]) -> None:
        self.heard: list[Any] = []
        self._outputs = outputs

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        self.heard.append(feeds["samples"])
        return [np.zeros(self._outputs, np.float32)]


Hearing = Callable[..., tuple[AudioEncoder, Silent]]


@pytest.fixture
def hearing(monkeypatch: pytest.MonkeyPatch) -> Hearing:
    """Makes an audio encoder of 3 tokens over a silent graph."""

    def make(*outputs: int) -> tuple[AudioEncoder, Silent]:
        import dataclasses

        silent = Silent(outputs or (1, 3, 192))
        monkeypatch.setattr(audio, "open_session", lambda *_: silent)
        monkeypatch.setattr(audio, "check_nodes", lambda *_: {})
        shipped = Bundle.open(find_bundle("edge-vqa"))
        layout = Layout(49, 60, 50, 1, None, SoundInput(16000, 80000, 3))
        manifest = dataclasses.replace(shipped.manifest, audio_encoder_id="ears", hidden_size=192)
        graphs = {**shipped.graphs, AUDIO: shipped.path / AUDIO}
        return AudioEncoder(dataclasses.replace(shipped, layout=layout, manifest=manifest, graphs=graphs)), silent

    return make


@pytest.mark.parametrize("seconds", [0.001, 5.0, 600.0])
def test_sound_of_any_length_reaches_the_graph_in_its_own(hearing: Hearing, seconds: float) -> None:
    encoder, silent = hearing()
    made = encoder.encode(AudioWindow(np.full(int(seconds * 16000), 0.1, np.float32), 16000))
    assert [one.shape for one in silent.heard] == [(1, 80000)]
    assert (made.data.shape, made.modality, made.encoder_id) == ((3, 192), Modality.AUDIO, "ears")


def test_sound_of_no_length_is_refused_before_the_graph_runs(hearing: Hearing) -> None:
    encoder, silent = hearing()
    with pytest.raises(InputError, match="0 samples"):
        encoder.encode(AudioWindow(np.zeros(0, np.float32), 16000))
    assert silent.heard == []


def test_an_audio_graph_of_another_model_is_refused(hearing: Hearing) -> None:
    encoder, _ = hearing(1, 4, 192)
    with pytest.raises(ModelError, match=r"gave \[1, 4, 192\] instead of \[1, 3, 192\]"):
        encoder.encode(AudioWindow(np.zeros(100, np.float32), 16000))


def test_a_provider_that_is_not_built_in_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_available", lambda: [providers.CPU])
    with pytest.raises(ModelError, match=r"built without CUDAExecutionProvider: set model\.provider to cpu"):
        Bundle.open(TINY, provider="cuda")
    with pytest.raises(ModelError, match="no execution provider is called 'npu'"):
        providers.providers("npu")


def test_auto_takes_cuda_where_it_is_built_in_and_asks_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, tensorrt, xnnpack = (providers.NAMES[name][0] for name in ("cuda", "tensorrt", "xnnpack"))
    monkeypatch.setattr(providers, "_available", lambda: [tensorrt, xnnpack, providers.CPU])
    assert providers.providers("auto") == (providers.CPU,)
    monkeypatch.setattr(providers, "_available", lambda: [tensorrt, cuda, providers.CPU])
    assert providers.providers("auto") == (cuda, providers.CPU)
    assert providers.providers("tensorrt") == (tensorrt, cuda, providers.CPU)
