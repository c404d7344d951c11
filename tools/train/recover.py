"""Reads a shipped pair back as checkpoints: `python -m tools.train.recover --models models`.

Writes edge.pt, cloud.pt, cloud-before.pt (the cloud's second member, where it has two), reckoning.pt (where it reckons)
and tokenizer.json into the work folder, with weights as they are shipped: int8 times their scales, which rounding again
leaves as they are. So what stands on a pair (`strangers`, `reckon_fit`, `calibrate`, another decoder behind the same
eyes) needs no old work folder. With `--sounds` the tokens of the clips too, by the shipped audio encoder (needs
espeak-ng and av, see README.md).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from edge_agent.types import F32
from edge_agent.vlm.bundle import AUDIO, DECODER, VISION
from tools.graph_weights import DecoderWeights, Weights
from tools.train.eyes import name_pieces
from tools.train.labels import imagenet_names
from tools.train.reckoning import Reckoning
from tools.train.settings import Paths, default_paths

_LINEAR = ("connector.up.weight", "connector.down.weight")
"""What the vision graph multiplies by without a name, in this order and before the table of names."""


def eyes_of(bundle: Path, words: F32) -> dict[str, Tensor]:
    """The weights of `Eyes` behind the shipped vision graph. Raises SystemExit where its names are other words."""
    graph = Weights(bundle / VISION)
    named = {k: v for k, v in graph.arrays.items() if k.startswith(("connector.", "naming."))}
    named = {k: v for k, v in named.items() if not k.endswith(("_int8", "_scale"))}
    linear = [one for one in graph.matrices() if one.shape[0] != len(imagenet_names())]
    named |= {name: one.T for name, one in zip(_LINEAR, linear, strict=True)}
    pieces = name_pieces(Tokenizer.from_file(str(bundle / "tokenizer.json")), imagenet_names())
    wanted = (words[pieces.numpy()] * words.shape[1] ** 0.5).reshape(len(pieces), -1)
    if not any(one.shape == wanted.shape and np.allclose(one, wanted, atol=1e-6) for one in graph.arrays.values()):
        raise SystemExit(f"{bundle / VISION}: its table of names is not made of the decoder's words")
    return {k: torch.from_numpy(np.array(v)) for k, v in named.items()} | {"naming.pieces": pieces}


def decoders_of(graph: DecoderWeights) -> list[dict[str, Tensor]]:
    """The weights of `Decoder` of each member of a decoder graph."""
    every = [{**member, "words.weight": graph.words} for member in graph.members]
    return [{k: torch.from_numpy(np.array(v)) for k, v in member.items()} for member in every]


def reckoning_of(graph: DecoderWeights) -> dict[str, Tensor]:
    """The weights of `Reckoning` in a graph that has it."""
    wanted = Reckoning(graph.words.shape[1]).state_dict()
    return {name: torch.from_numpy(np.array(graph.reckoning[name])) for name in wanted}


def checkpoint(bundle: Path, eyes: dict[str, Tensor], decoder: dict[str, Tensor]) -> dict[str, Any]:
    """As `trained.load_trained` reads it."""
    text = json.loads((bundle / "config.json").read_text("utf-8"))
    made_by = json.loads((bundle / "manifest.json").read_text("utf-8"))["provenance"]
    sizes = text["text_config"]
    return {
        "config": {
            "vocab": sizes["vocab_size"],
            "hidden": sizes["hidden_size"],
            "layers": sum(name.endswith("mlp_norm.weight") for name in decoder),
            "heads": sizes["num_attention_heads"],
            "mlp": sizes["intermediate_size"],
            "connector": text["connector_size"],
            "context": sizes["max_position_embeddings"],
        },
        "average": {f"eyes.{k}": v for k, v in eyes.items()} | {f"decoder.{k}": v for k, v in decoder.items()},
        "step": made_by["steps"],
        "spent_s": 60 * made_by["minutes"],
    }


def recover(models: Path, paths: Paths) -> list[Path]:
    """The files written."""
    edge, cloud = models / "edge-vqa", models / "cloud-vqa"
    paths.work.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(edge / "tokenizer.json", paths.tokenizer)
    (own,) = decoders_of(DecoderWeights(edge / DECODER))
    large = DecoderWeights(cloud / DECODER)
    eyes = eyes_of(edge, own["words.weight"].numpy())
    made = [paths.tokenizer]
    parts = [(edge, own), *((cloud, decoder) for decoder in decoders_of(large))]
    for name, (bundle, decoder) in zip(("edge.pt", "cloud.pt", "cloud-before.pt"), parts, strict=False):
        torch.save(checkpoint(bundle, eyes, decoder), paths.work / name)
        made.append(paths.work / name)
    if large.reckoning:
        torch.save(reckoning_of(large), paths.work / "reckoning.pt")
        made.append(paths.work / "reckoning.pt")
    return made


def recover_sounds(models: Path, paths: Paths) -> Path:
    """audio_encoder.onnx, tokens.npy and clips.jsonl, without changed copies."""
    from tools.train.sound_export import store
    from tools.train.sound_features import all_clips

    path = paths.sounds / "audio_encoder.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(models / "edge-vqa" / AUDIO, path)
    store(path, all_clips(paths.data), 0)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--sounds", action="store_true", help="the tokens of the clips too")
    wanted = parser.parse_args()
    paths = default_paths()
    made = recover(wanted.models, paths)
    if wanted.sounds:
        made.append(recover_sounds(wanted.models, paths))
    print("\n".join(map(str, made)))


if __name__ == "__main__":
    main()
