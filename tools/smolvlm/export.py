"""Exports an idefics3 model to the graphs and file variants that SmolVLM's ONNX repositories have.

usage: python -m tools.smolvlm.export FOLDER [--variants fp16,int8,q4]      (FOLDER as tools.smolvlm.build made it)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from transformers import Idefics3ForConditionalGeneration

from tools.smolvlm.graphs import OPSET, DecoderGraph, EmbedGraph, VisionGraph

GRAPHS = ("vision_encoder", "embed_tokens", "decoder_model_merged")
VARIANTS = ("fp16", "int8", "q4")


def export(folder: Path) -> None:
    """The float32 graphs of `folder`/torch in `folder`/onnx."""
    model = Idefics3ForConditionalGeneration.from_pretrained(folder / "torch").eval()
    text, side = model.config.text_config, model.config.vision_config.image_size
    out = folder / "onnx"
    out.mkdir(exist_ok=True)
    with torch.no_grad():
        _write(
            VisionGraph(model),
            (torch.zeros(1, 2, 3, side, side), torch.ones(1, 2, side, side, dtype=torch.bool)),
            out / "vision_encoder.onnx",
            {"pixel_values": ["b", "n"], "pixel_attention_mask": ["b", "n"]},
            {"image_features": ["images"]},
        )
        ids = torch.zeros(1, 4, dtype=torch.int64)
        axes = {"input_ids": ["b", "t"]}
        _write(EmbedGraph(model), (ids,), out / "embed_tokens.onnx", axes, {"inputs_embeds": ["b", "t"]})
        kinds = [f"{index}.{kind}" for index in range(text.num_hidden_layers) for kind in ("key", "value")]
        past = [torch.zeros(1, text.num_key_value_heads, 3, text.head_dim) for _ in kinds]
        embeds = torch.zeros(1, 5, text.hidden_size)
        _write(
            DecoderGraph(model),
            (embeds, torch.ones(1, 8, dtype=torch.int64), torch.arange(5)[None], *past),
            out / "decoder_model_merged.onnx",
            {"inputs_embeds": ["b", "q"], "attention_mask": ["b", "total"], "position_ids": ["b", "q"]}
            | {f"past_key_values.{kind}": ["b", "", "past"] for kind in kinds},
            {"logits": ["b", "q"]} | {f"present.{kind}": ["b", "", "total"] for kind in kinds},
        )


def _write(
    graph: nn.Module, sample: tuple[Any, ...], path: Path, inputs: dict[str, list[str]], outputs: dict[str, list[str]]
) -> None:
    axes = {
        name: {axis: label for axis, label in enumerate(labels) if label} for name, labels in (inputs | outputs).items()
    }
    torch.onnx.export(
        graph.eval(),
        sample,
        str(path),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    model.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def vary(folder: Path, variant: str) -> None:
    """Writes GRAPH_`variant`.onnx of each graph: fp16 (cache included), int8 (dynamic) or q4 (blocks of 32)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for graph in GRAPHS:
        source, target = folder / "onnx" / f"{graph}.onnx", folder / "onnx" / f"{graph}_{variant}.onnx"
        if variant == "int8":
            quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)
            continue
        model = onnx.load(str(source))
        if variant == "fp16":
            model = convert_float_to_float16(model, keep_io_types=False)
        else:
            quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=True)
            quantizer.process()
            model = quantizer.model.model
        onnx.save(model, str(target))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", default="", help=f"of {', '.join(VARIANTS)}, with commas")
    given = parser.parse_args()
    export(given.folder)
    for variant in filter(None, given.variants.split(",")):
        vary(given.folder, variant)


if __name__ == "__main__":
    main()
