"""What vLLM is given of the shipped cloud: its two decoders, number for number, and a word on what is left out."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("safetensors") is None or importlib.util.find_spec("onnx") is None:
    pytest.skip("safetensors or onnx is not installed: the export is not tested here", allow_module_level=True)

import onnx
from safetensors.numpy import load_file

from tools.graph_weights import DecoderWeights
from tools.vllm.export import DECODER, export, main, read_graph

CLOUD = Path(__file__).resolve().parents[2] / "models" / "cloud-vqa"


def test_both_members_are_written_and_what_reckons_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(CLOUD), str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path)
    assert said.err.startswith("left out: how many")
    graph, made = DecoderWeights(CLOUD / DECODER), load_file(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["member_layers"] == graph.layers() == [5, 6]
    assert config["num_hidden_layers"] == 11
    assert not [name for name in made if "reckoning" in name or "teller" in name]
    np.testing.assert_array_equal(made["words.weight"], graph.words)
    for i, member in enumerate(graph.members):
        tables = graph.tables()
        placed = member["place.weight"][tables.places] + member["cells.weight"][tables.spots]
        np.testing.assert_array_equal(made[f"members.{i}.position.weight"], placed)
        own = {name for name in member if name not in ("place.weight", "cells.weight")}
        assert {f"members.{i}.{name}" for name in own} <= made.keys()
        assert all(np.array_equal(made[f"members.{i}.{name}"], member[name]) for name in own)


def test_a_device_alone_has_nothing_left_out(tmp_path: Path) -> None:
    assert export(CLOUD.parent / "edge-vqa", tmp_path) == ()
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["member_layers"] == [4]


@pytest.mark.parametrize(("bundle", "operator"), [("edge-vqa", "If"), ("cloud-vqa", "Erf")])
def test_what_the_plugin_cannot_compute_is_refused_by_its_name(tmp_path: Path, bundle: str, operator: str) -> None:
    """A branch is taken for what reckons only where there are weights of it."""
    graph = onnx.load(str(CLOUD.parent / bundle / DECODER))
    next(node for node in graph.graph.node if node.op_type == "Sigmoid").op_type = operator
    onnx.save(graph, str(tmp_path / "decoder.onnx"))
    with pytest.raises(SystemExit, match=operator):
        read_graph(tmp_path / "decoder.onnx")
