"""The ONNX graph of the shipped encoder, read as a torch module for LiteRT's converter, computes the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_agent.vlm import find_bundle
from edge_agent.vlm.bundle import VISION
from edge_agent.vlm.session import open_session

torch = pytest.importorskip("torch", reason="torch is not installed: the conversion is not tested here")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the conversion is not tested here")
sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed

from tools.train.litert_graph import OnnxModule, folded  # noqa: E402


def test_the_shipped_vision_graph_is_read_as_torch() -> None:
    path = find_bundle("edge-vqa") / VISION
    mask = np.ones((1, 1, 224, 224), dtype=np.bool_)
    module = OnnxModule(folded(path, {"b": 1, "n": 1, "images": 1}, {"pixel_attention_mask": mask}))
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 1, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        made = module(torch.from_numpy(pixels)).numpy()
    feeds = {"pixel_values": pixels, "pixel_attention_mask": mask}
    (wanted,) = open_session(path, 1).run(["image_features"], feeds)
    np.testing.assert_allclose(made, wanted, atol=2e-3)


def test_an_operator_that_is_not_read_is_named() -> None:
    node = onnx.helper.make_node("Cosh", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    ends = [value(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "odd", ends[:1], ends[1:]))
    with pytest.raises(SystemExit, match="Cosh"):
        OnnxModule(model)
