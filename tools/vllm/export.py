"""Writes a bundle's decoder as a folder that vLLM serves with the plugin beside this file.

    python -m tools.vllm.export models/cloud-vqa build/vllm/cloud-vqa

Weights are those of the ONNX graph, int8 times their scales, in float32; no checkpoint is needed. Refuses a graph that
computes anything else than what the plugin's model does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

F32 = NDArray[np.float32]
DECODER = "onnx/decoder_model_merged.onnx"
MATRICES = ("qkv", "project", "gate", "up", "down")
STRANGE = {"Exp", "Abs", "ReduceMax", "Erf", "LayerNormalization", "Loop", "If"}
"""Operators of decoders that count, or that skip tokens: the plugin has no such."""
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Tables:
    """What the graph looks up by position, [context, ...]: the turns of rotary position and what kind a token is."""

    cos: F32
    sin: F32
    places: NDArray[np.int64]
    spots: NDArray[np.int64]


class Graph:
    """The weights of a decoder's graph by what they are for."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(str(path)).graph
        strange = sorted({node.op_type for node in graph.node} & STRANGE)
        if strange:
            raise SystemExit(f"{path} computes with {', '.join(strange)}: the plugin knows no such decoder")
        self._nodes = list(graph.node)
        self._arrays: dict[str, NDArray[Any]] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        for node in self._nodes:
            if node.op_type == "Constant":
                self._arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "DequantizeLinear":
                self._arrays[node.output[0]] = self._dequantised(node)
            elif node.op_type == "Identity" and node.input[0] in self._arrays:
                self._arrays[node.output[0]] = self._arrays[node.input[0]]

    def _dequantised(self, node: Any) -> F32:
        codes, scale = (self._arrays[name] for name in node.input)
        axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
        shape = [1] * codes.ndim
        shape[axis] = -1
        values: F32 = codes.astype(np.float32) * scale.reshape(shape)
        return values

    def tables(self) -> Tables:
        """Raises SystemExit where they are not the four that are looked up by `position_ids`."""
        found = [
            self._arrays[node.input[0]]
            for node in self._nodes
            if node.op_type == "Gather" and node.input[1] == "position_ids"
        ]
        if [one.ndim for one in found] != [2, 2, 1, 1]:
            raise SystemExit(
                f"the graph looks up {len(found)} tables by position: another release of the tools made it"
            )
        cos, sin, places, spots = found
        return Tables(cos, sin, places, spots)

    def matrices(self) -> list[F32]:
        """Those that something is multiplied by, in order, [in, out] each; the last are the words of each member."""
        nodes = (node for node in self._nodes if node.op_type == "MatMul" and node.input[1] in self._arrays)
        return [self._arrays[node.input[1]] for node in nodes]

    def vector(self, name: str) -> F32:
        values: F32 = self._arrays[f"decoder.{name}"]
        return values

    def layers(self) -> list[int]:
        """How many layers each member has."""
        counts: list[int] = []
        while f"decoder.members.{len(counts)}.norm.weight" in self._arrays:
            prefix = f"decoder.members.{len(counts)}.layers."
            counts.append(sum(name.startswith(prefix) and name.endswith("mlp_norm.weight") for name in self._arrays))
        return counts


def weights(graph: Graph) -> dict[str, F32]:
    """What the plugin's model loads, by name."""
    tables, counts, matrices = graph.tables(), graph.layers(), graph.matrices()
    if not counts or len(matrices) != len(MATRICES) * sum(counts) + len(counts):
        raise SystemExit(f"{len(matrices)} matrices in {counts} layers: another release of the tools made this graph")
    words = matrices[-1]
    if any(not np.array_equal(words, other) for other in matrices[-len(counts) :]):
        raise SystemExit("the members of this decoder have different words")
    made = {"words.weight": words.T, "cos": tables.cos, "sin": tables.sin}
    rest = iter(matrices)
    for member, count in enumerate(counts):
        place = graph.vector(f"members.{member}.place.weight")[tables.places]
        made[f"members.{member}.position.weight"] = place + graph.vector(f"members.{member}.cells.weight")[tables.spots]
        made[f"members.{member}.norm.weight"] = graph.vector(f"members.{member}.norm.weight")
        for layer in range(count):
            made |= dict(_layer(graph, f"members.{member}.layers.{layer}", rest))
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in made.items()}


def _layer(graph: Graph, name: str, matrices: Iterator[F32]) -> Iterator[tuple[str, F32]]:
    for norm in ("attention_norm", "mlp_norm"):
        yield f"{name}.{norm}.weight", graph.vector(f"{name}.{norm}.weight")
    for kind in MATRICES:
        yield f"{name}.{kind}.weight", next(matrices).T  # [out, in]


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


def export(bundle: Path, folder: Path) -> None:
    """Writes config.json, model.safetensors, the tokenizer and its template. Raises SystemExit, OSError."""
    graph = Graph(bundle / DECODER)
    made, layers = weights(graph), graph.layers()
    settings = json.loads((bundle / "config.json").read_text("utf-8"))
    if sum(layers) != settings["text_config"]["num_hidden_layers"]:
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


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the folder is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    export(given.bundle, given.folder)
    print(given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
