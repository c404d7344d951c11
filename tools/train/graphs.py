"""The three ONNX graphs of a bundle, written by hand-made wrappers, and the packing of their weights as int8.

Weights are first rounded in torch (symmetric int8 a row), then exported as float, then replaced by int8 with a
DequantizeLinear behind them: the graph computes in float32 exactly what the rounded torch model computes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from tools.train.backbone import Backbone, round_to_int8
from tools.train.eyes import Eyes
from tools.train.model import Decoder, Ensemble
from tools.train.phrases import Asked
from tools.train.reckoned import Reckoned, Teller
from tools.train.settings import IMAGE_SIZE, ModelConfig

OPSET = 17
_LEAST_VALUES = 4096


def rounded(module: nn.Module) -> nn.Module:
    """A copy with every large matrix rounded to int8 a row."""
    made = copy.deepcopy(module).eval()
    for weight in made.parameters():
        if weight.ndim == 2 and weight.numel() >= 4 * _LEAST_VALUES:
            weight.data = round_to_int8(weight.data)
    return made


class VisionGraph(nn.Module):  # type: ignore[misc]
    """pixel_values [b, n, 3, H, W], pixel_attention_mask [b, n, H, W] bool to image_features [b * n, 51, hidden]."""

    def __init__(self, backbone: Backbone, eyes: Eyes, words: Tensor) -> None:
        super().__init__()
        self.backbone, self.connector, self.naming = backbone, eyes.connector, eyes.naming
        named = eyes.naming.table(words).detach()  # [classes, 2 * hidden], made of rounded rows of `words`
        self.table = nn.Parameter(named.reshape(-1, words.shape[1]))  # [classes * 2, hidden]

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        pixels = pixel_values * pixel_attention_mask.unsqueeze(2).to(pixel_values.dtype)
        features = self.backbone(pixels.flatten(0, 1))  # [b * n, 49, 1280]
        named = self.naming.tokens(self.naming.classify(features), self.table.view(len(self.naming.pieces), -1))
        return torch.cat((self.connector(features), named), dim=1)


class EmbedGraph(nn.Module):  # type: ignore[misc]
    """input_ids [b, t] int64 to inputs_embeds [b, t, hidden] float32."""

    def __init__(self, decoder: Decoder | Ensemble | Reckoned) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.decoder.embed(input_ids)


class Step(nn.Module):  # type: ignore[misc]
    """One of the steps of `teller`, for a trace of its own."""

    def __init__(self, teller: Teller, step: Callable[..., Any]) -> None:
        super().__init__()
        self.teller, self.step = teller, step

    def forward(self, *given: Tensor) -> Any:
        return self.step(self.teller, *given)


class Seldom(nn.Module):  # type: ignore[misc]
    """Traced steps in branches of their own, so that they cost nothing where no reply begins, next to nothing where a
    question begins otherwise than those that are reckoned with, and little where it goes on otherwise.
    """

    def __init__(self, text: Any, asks: Any, tells: Any) -> None:
        super().__init__()
        self.text, self.asks, self.tells = text, asks, tells

    def forward(self, rows: Tensor, stand: Tensor, seen: Tensor) -> Tensor:
        told = rows[:, 0, :12] * 0  # `TOLD`, which a script cannot read
        if rows.shape[0] > 0:
            texts, opened = self.text(rows, stand, seen)
            if bool(opened.any()):
                first, second, count, more, left, above = self.asks(texts)
                if bool((count.abs() + more.abs() + left.abs() + above.abs()).sum() > 0):
                    told = self.tells(rows, stand, seen, first, second, count, more, left, above)
        return told


def branched(decoder: nn.Module, config: ModelConfig) -> nn.Module:
    """The same, with what a `Reckoned` decoder does at the beginning of a reply behind conditions of the graph."""
    if not isinstance(decoder, Reckoned):
        return decoder
    assert isinstance(decoder.teller, Teller)
    rows, stand, seen = torch.zeros(1, 8, config.hidden), torch.arange(8.0)[None], torch.ones(1, 8, dtype=torch.bool)
    text = Step(decoder.teller, Teller.text).eval()
    asks = Step(decoder.teller, lambda teller, texts: tuple(teller.asked(texts))).eval()
    tells = Step(decoder.teller, lambda teller, *inputs: teller.told(*inputs[:3], Asked(*inputs[3:]))).eval()
    texts, _ = text(rows, stand, seen)
    traces = (
        torch.jit.trace(text, (rows, stand, seen)),
        torch.jit.trace(asks, (texts,)),
        torch.jit.trace(tells, (rows, stand, seen, *asks(texts))),
    )
    made = copy.deepcopy(decoder)
    made.teller = torch.jit.script(Seldom(*traces))
    return made


class DecoderGraph(nn.Module):  # type: ignore[misc]
    """inputs_embeds [b, q, hidden], attention_mask [b, past + q] int64, position_ids [b, q], then past keys and values
    [b, heads, past, d] a layer (past may be 0), to logits [b, q, vocab] and the longer keys and values.
    """

    def __init__(self, decoder: Decoder | Ensemble | Reckoned) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        pairs = [(past[2 * i], past[2 * i + 1]) for i in range(len(past) // 2)]
        before, new = past[0].shape[2], inputs_embeds.shape[1]
        columns = torch.arange(before + new)
        rows = torch.arange(new) + before
        mask = (columns[None, :] <= rows[:, None])[None, None] & attention_mask.bool()[:, None, None, :]
        hidden, kept = self.decoder.run(inputs_embeds, position_ids, mask, pairs)
        return (self.decoder.logits(hidden), *(tensor for pair in kept for tensor in pair))


def export_vision(eyes: Eyes, words: Tensor, path: Path) -> None:
    graph = VisionGraph(Backbone(), eyes, words).eval()
    pixels = torch.zeros(1, 1, 3, IMAGE_SIZE, IMAGE_SIZE)
    mask = torch.ones(1, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.bool)
    axes = {"pixel_values": {0: "b", 1: "n"}, "pixel_attention_mask": {0: "b", 1: "n"}, "image_features": {0: "images"}}
    _write(graph, (pixels, mask), path, ["pixel_values", "pixel_attention_mask"], ["image_features"], axes)


def export_embed(decoder: Decoder | Ensemble | Reckoned, path: Path) -> None:
    ids = torch.zeros(1, 4, dtype=torch.int64)
    axes = {"input_ids": {0: "b", 1: "t"}, "inputs_embeds": {0: "b", 1: "t"}}
    _write(EmbedGraph(decoder).eval(), (ids,), path, ["input_ids"], ["inputs_embeds"], axes)


def export_decoder(decoder: Decoder | Ensemble | Reckoned, config: ModelConfig, path: Path) -> None:
    past = [torch.zeros(1, config.heads, 3, config.head_dim) for _ in range(2 * config.layers)]
    kinds = [f"{i}.{kind}" for i in range(config.layers) for kind in ("key", "value")]
    inputs = ["inputs_embeds", "attention_mask", "position_ids", *(f"past_key_values.{k}" for k in kinds)]
    outputs = ["logits", *(f"present.{k}" for k in kinds)]
    axes: dict[str, dict[int, str]] = {name: {0: "b", 2: "past"} for name in inputs[3:]}
    axes |= {name: {0: "b", 2: "total"} for name in outputs[1:]}
    axes |= {
        "inputs_embeds": {0: "b", 1: "q"},
        "attention_mask": {0: "b", 1: "total"},
        "position_ids": {0: "b", 1: "q"},
        "logits": {0: "b", 1: "q"},
    }
    sample = (torch.zeros(1, 5, config.hidden), torch.ones(1, 8, dtype=torch.int64), torch.arange(5)[None], *past)
    graph: Any = DecoderGraph(branched(decoder, config)).eval()
    if isinstance(decoder, Reckoned):
        graph = torch.jit.trace(graph, sample, check_trace=False)  # the exporter's own trace knows no branches
    _write(graph, sample, path, inputs, outputs, axes)


def _write(
    graph: Any,
    sample: tuple[Any, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        graph,
        sample,
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    pack_int8(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def pack_int8(model: onnx.ModelProto) -> int:
    """Replaces every large float weight that is int8 times a scale a row (or column); returns how many."""
    graph, count = model.graph, 0
    kept, nodes = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        packed = (
            _as_int8(values)
            if values.dtype == np.float32 and values.ndim >= 2 and values.size >= _LEAST_VALUES
            else None
        )
        if packed is None:
            kept.append(tensor)
            continue
        codes, scale, axis = packed
        kept += [
            numpy_helper.from_array(codes, tensor.name + "_int8"),
            numpy_helper.from_array(scale, tensor.name + "_scale"),
        ]
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [tensor.name + "_int8", tensor.name + "_scale"], [tensor.name], axis=axis
            )
        )
        count += 1
    del graph.initializer[:]
    graph.initializer.extend(kept)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return count


def _as_int8(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32], int] | None:
    """Codes, scales and their axis, if `values` are within a thousandth of a step of int8 codes; else None."""
    for axis in (0, 1):
        others = tuple(i for i in range(values.ndim) if i != axis)
        scale = np.maximum(np.abs(values).max(axis=others), 1e-12).astype(np.float32) / np.float32(127)
        shape = [1] * values.ndim
        shape[axis] = -1
        codes = values / scale.reshape(shape)
        if np.abs(codes - np.round(codes)).max() < 1e-3:
            return np.round(codes).astype(np.int8), scale, axis
    return None
