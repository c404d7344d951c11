"""A cloud that is exported alone stands beside the device's bundle as it was, and reads what that one sends."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
    pytest.skip("torch or onnx is not installed: the training tools are not tested here", allow_module_level=True)

import torch

from edge_agent.vlm import Bundle
from reckoned_model import CONFIG, TOKENIZER, reckoned
from tools.train import export
from tools.train.bundle_files import VERSION
from tools.train.eyes import Eyes
from tools.train.model import Decoder
from tools.train.settings import BACKBONE_WIDTH, NAME_TOKENS, Paths
from tools.train.trained import Trained, untold

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself
EDGE = Path(__file__).resolve().parents[2] / "models" / "edge-vqa"


def pair() -> tuple[Trained, Trained]:
    """Small ones with random weights; the cloud's reckons."""
    eyes = Eyes(CONFIG, torch.nn.Linear(BACKBONE_WIDTH, 10), torch.zeros(10, NAME_TOKENS, dtype=torch.int64))
    edge = Trained(CONFIG, eyes, Decoder(CONFIG), 7, 1.5)
    return edge, replace(edge, config=replace(CONFIG, layers=CONFIG.layers + 1), decoder=reckoned())


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped device's bundle, called an earlier version, and what `export --cloud-only` put beside it."""
    made = tmp_path / "models"
    shutil.copytree(EDGE, made / "edge-vqa")
    manifest = made / "edge-vqa" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text("utf-8")), "version": "0.0.1"}), "utf-8")
    paths = Paths(tmp_path / "data", tmp_path / "work")
    paths.work.mkdir()
    TOKENIZER.save(str(paths.tokenizer))
    monkeypatch.setattr(export, "default_paths", lambda: paths)
    monkeypatch.setattr(export, "load_pair", lambda *_: pair())
    monkeypatch.setattr(sys, "argv", ["export", "--cloud-only", "--draft", "--out", str(made)])
    export.main()
    return made


def test_the_device_keeps_every_byte_but_the_version(models: Path) -> None:
    kept = models / "edge-vqa"
    files = sorted(path.relative_to(EDGE) for path in EDGE.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    changed = [str(name) for name in files if (EDGE / name).read_bytes() != (kept / name).read_bytes()]
    assert changed in ([], ["manifest.json"])
    before, now = (json.loads((folder / "manifest.json").read_text("utf-8")) for folder in (EDGE, kept))
    assert now == {**before, "version": VERSION}


def test_the_cloud_reads_what_the_device_makes_and_has_a_layer_more_to_keep_it(models: Path) -> None:
    edge, cloud = Bundle.open(models / "edge-vqa"), Bundle.open(models / "cloud-vqa")
    assert (cloud.encoder_id, cloud.audio_encoder_id) == (edge.encoder_id, edge.audio_encoder_id)
    assert cloud.manifest.also_reads == edge.manifest.also_reads
    assert len(cloud.manifest.also_reads) == 2
    assert cloud.manifest.version == edge.manifest.version == VERSION
    assert cloud.config["text_config"]["num_hidden_layers"] == CONFIG.layers + 1
    assert cloud.config["audio"] == edge.config["audio"]
    assert not cloud.has_vision


def test_what_a_cloud_was_told_is_taken_away_again() -> None:
    edge, cloud = pair()
    plain = untold(cloud)
    assert plain.config.layers == CONFIG.layers
    assert plain.decoder is cloud.decoder.decoder
    assert untold(edge) is edge
