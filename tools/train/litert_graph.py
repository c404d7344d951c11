"""Reads a folded ONNX graph as a torch module, so that LiteRT's own converter can be given what a bundle ships.

Only the operators that our encoders use are known; ONNX Runtime folds constants, shapes and int8 weights first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

Attributes = dict[str, Any]


def folded(path: Path, sizes: dict[str, int], fixed: dict[str, np.ndarray[Any, Any]]) -> onnx.ModelProto:
    """The graph with named axes set to `sizes`, inputs in `fixed` made constants, and everything constant folded."""
    import onnxruntime

    model = onnx.load(str(path))
    for node in [node for node in model.graph.input if node.name in fixed]:
        model.graph.input.remove(node)
        model.graph.initializer.append(numpy_helper.from_array(fixed[node.name], node.name))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(made)
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        for name, size in sizes.items():
            options.add_free_dimension_override_by_name(name, size)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(str(made))


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, a: Attributes) -> Tensor:
    if a.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise SystemExit("only convolutions with explicit padding are read")
    axes = weight.ndim - 2
    pads = a.get("pads", [0] * (2 * axes))
    sides = [side for i in reversed(range(axes)) for side in (pads[i], pads[i + axes])]
    even = pads[:axes] == pads[axes:]
    if not even:
        x = F.pad(x, sides)
    run = F.conv2d if axes == 2 else F.conv1d
    stride, dilation = a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
    return run(x, weight, bias, stride, pads[:axes] if even else 0, dilation, a.get("group", 1))


def _gemm(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, a: Attributes) -> Tensor:
    if a.get("alpha", 1.0) != 1.0 or a.get("beta", 1.0) != 1.0 or a.get("transA", 0):
        raise SystemExit("only Gemm without scaling is read")
    return F.linear(x, weight if a.get("transB", 0) else weight.T, bias)


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None, *, a: Attributes) -> Tensor:
    least, most = (None if v is None else float(v) for v in (low, high))
    if (least, most) == (0.0, 6.0):
        return F.relu6(x)
    return torch.clamp(x, least, most)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, a: Attributes) -> Tensor:
    shape = list(x.shape[a.get("axis", -1) :])
    return F.layer_norm(x, shape, weight.expand(shape), bias, a.get("epsilon", 1e-5))


def _reshape(x: Tensor, shape: Tensor, *, a: Attributes) -> Tensor:
    wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
    return x.reshape(wanted)


def _unsqueeze(x: Tensor, axes: Tensor, *, a: Attributes) -> Tensor:
    for axis in sorted(axes.tolist()):
        x = x.unsqueeze(axis)
    return x


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda x, y, a: x + y,
    "Sub": lambda x, y, a: x - y,
    "Mul": lambda x, y, a: x * y,
    "Div": lambda x, y, a: x / y,
    "Clip": _clip,
    "Concat": lambda *xs, a: torch.cat(xs, dim=a["axis"]),
    "Conv": _conv,
    "Erf": lambda x, a: torch.erf(x),
    "Gemm": _gemm,
    "Identity": lambda x, a: x,
    "LayerNormalization": _layer_norm,
    "MatMul": lambda x, y, a: x @ y,
    "ReduceMax": lambda x, a: torch.amax(x, a["axes"], keepdim=bool(a.get("keepdims", 1))),
    "ReduceMean": lambda x, a: torch.mean(x, a["axes"], keepdim=bool(a.get("keepdims", 1))),
    "Relu": lambda x, a: F.relu(x),
    "Reshape": _reshape,
    "Softmax": lambda x, a: torch.softmax(x, a.get("axis", -1)),
    "Transpose": lambda x, a: x.permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
}


class OnnxModule(nn.Module):  # type: ignore[misc]
    """Computes what `model` computes, node by node. Raises SystemExit naming the operators that it cannot read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        unknown = sorted({node.op_type for node in model.graph.node} - set(OPERATORS))
        if unknown:
            raise SystemExit(f"the graph uses operators that are not read here: {', '.join(unknown)}")
        self.nodes = [
            (n.op_type, list(n.input), n.output[0], {x.name: helper.get_attribute_value(x) for x in n.attribute})
            for n in model.graph.node
        ]
        self.inputs = [node.name for node in model.graph.input]
        self.outputs = [node.name for node in model.graph.output]
        self.constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
        for i, tensor in enumerate(self.constants.values()):
            self.register_buffer(f"constant_{i}", tensor)

    def forward(self, *inputs: Tensor) -> Tensor:
        values: dict[str, Tensor] = dict(self.constants)
        values.update(zip(self.inputs, inputs, strict=True))
        for kind, names, output, attributes in self.nodes:
            values[output] = OPERATORS[kind](*(values[name] if name else None for name in names), a=attributes)
        return values[self.outputs[0]]
