"""Writes a bundle's decoder as a folder that vLLM serves with the plugin beside this file.

    python -m tools.vllm.export models/cloud-vqa build/vllm/cloud-vqa

Weights are those of the ONNX graph, int8 times their scales, in float32; no checkpoint is needed. Refuses a graph that
computes anything else than what the plugin's model does, but for what counts and compares the cells of mosaics
(`tools.train.reckoned`): that is left out, which is said.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tools.graph_weights import F32, DecoderWeights

DECODER = "onnx/decoder_model_merged.onnx"
LEFT_OUT = (
    "how many, more or fewer, left or right of things in a divided picture: answered without the bundle's own reckoning"
)
STRANGE = {"Exp", "Abs", "ReduceMax", "Erf", "LayerNormalization", "Loop", "If"}
"""Operators of decoders that count, or that skip tokens: the plugin has no such."""
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def read_graph(path: Path) -> DecoderWeights:
    """Raises SystemExit where the decoder computes anything that neither the plugin does nor `reckoning` is."""
    graph = DecoderWeights(path)
    strange = sorted({node.op_type for node in graph.nodes} & (STRANGE - ({"If"} if graph.reckoning else set())))
    if strange:
        raise SystemExit(f"{path} computes with {', '.join(strange)}: the plugin knows no such decoder")
    return graph


def weights(graph: DecoderWeights) -> dict[str, F32]:
    """What the plugin's model loads, by name."""
    tables = graph.tables()
    made = {"words.weight": graph.words, "cos": tables.cos, "sin": tables.sin}
    for i, member in enumerate(graph.members):
        place, cells = member["place.weight"][tables.places], member["cells.weight"][tables.spots]
        made[f"members.{i}.position.weight"] = place + cells
        own = {k: v for k, v in member.items() if k not in ("place.weight", "cells.weight")}
        made |= {f"members.{i}.{name}": values for name, values in own.items()}
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in made.items()}


def config(bundle: Mapping[str, Any], ends: int, layers: Sequence[int]) -> dict[str, Any]:
    """config.json of the folder, from that of the bundle."""
    text, detail = bundle["text_config"], bundle.get("detail_views")
    views = 1 + (detail["rows"] * detail["columns"] if detail else 0)
    return {
        "architectures": ["EdgeAgentForConditionalGeneration"],
        "model_type": "edge_agent_decoder",
        **{name: text[name] for name in ("vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads")},
        **{name: text[name] for name in ("head_dim", "intermediate_size", "max_position_embeddings")},
        "num_hidden_layers": sum(layers),
        "member_layers": list(layers),
        "image_token_id": bundle["image_token_id"],
        "image_seq_len": bundle["image_seq_len"],
        "views": views,
        "text_position": bundle["prompt"]["text_position"],
        # Positions of our own are asked for by the name that vLLM has for them; the turns are in the weights.
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [text["head_dim"] // 2]},
        "eos_token_id": ends,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def export(bundle: Path, folder: Path) -> tuple[str, ...]:
    """Writes config.json, model.safetensors, the tokenizer and its template; what the copy does not do, a line each.

    Raises SystemExit, OSError.
    """
    graph = read_graph(bundle / DECODER)
    made, layers = weights(graph), graph.layers()
    settings = json.loads((bundle / "config.json").read_text("utf-8"))
    if sum(layers) + bool(graph.reckoning) != settings["text_config"]["num_hidden_layers"]:
        raise SystemExit(f"{bundle}: the graph has {sum(layers)} layers, config.json says otherwise")
    end = json.loads((bundle / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    folder.mkdir(parents=True, exist_ok=True)
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(bundle / "tokenizer.json", folder / "tokenizer.json")
    shutil.copyfile(TEMPLATE, folder / "chat_template.jinja")
    _write(folder / "config.json", config(settings, end, layers))
    _write(folder / "generation_config.json", {"eos_token_id": end, "pad_token_id": 0})
    special = {"eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **special})
    return (LEFT_OUT,) if graph.reckoning else ()


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the folder is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    for line in export(given.bundle, given.folder):
        print(f"left out: {line}", file=sys.stderr)
    print(given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
