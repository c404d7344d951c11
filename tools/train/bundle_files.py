"""The files of a bundle: graphs, settings and the manifest that lists them."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_agent.vlm.bundle import AUDIO, DECODER, EMBED, VISION
from edge_agent.vlm.manifest import FORMAT, sha256_of
from tools.train.features import PROCESSOR
from tools.train.graphs import export_decoder, export_embed, export_vision
from tools.train.settings import (
    AUDIO_POSITION,
    BACKBONE_WIDTH,
    IMAGE_SIZE,
    IMAGE_TOKENS,
    SOUND_RATE_HZ,
    SOUND_SAMPLES,
    TEXT_POSITION,
    TILE_COLUMNS,
    TILE_OVERLAP,
    TILE_ROWS,
    ModelConfig,
    Paths,
)
from tools.train.text import ASK, EOS, IMAGE, PAD, REPLY, SPECIAL
from tools.train.trained import Trained, rounded_pair

VERSION = "0.5.0"
LICENSE = "Apache-2.0 for code and weights; training data has terms of its own, see README.md"
UNCALIBRATED = {
    "temperature": 1.0,
    "bias": 0.0,
    "probability_weight": 1.0,
    "entropy_weight": 0.0,
    "accept_entropy": 0.15,
    "eos_token_ids": [EOS],
}
UNLISTED = ("manifest.json", "README.md")


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


@dataclass(frozen=True, slots=True)
class Encoders:
    """What names the encoders whose embeddings a decoder reads; `sound` is "" where it reads none; `also` the same eyes
    in other formats (`litert_ship`).
    """

    image: str
    sound: str
    sound_tokens: int
    also: tuple[str, ...] = ()


def write_encoders(folder: Path, trained: Trained, paths: Paths) -> Encoders:
    """The vision graph, and the audio graph if there is one, which only the edge's bundle holds."""
    shutil.rmtree(folder / "onnx", ignore_errors=True)
    (folder / "onnx").mkdir(parents=True)
    write_json(folder / "preprocessor_config.json", preprocessing())
    small = rounded_pair(trained)
    export_vision(small.eyes, small.decoder.words_weight(), folder / VISION)
    digest = hashlib.sha256((folder / VISION).read_bytes() + (folder / "preprocessor_config.json").read_bytes())
    image = f"lite0-{IMAGE_TOKENS}x{trained.config.hidden}-{digest.hexdigest()[:16]}"
    graph = paths.sounds / "audio_encoder.onnx"
    if not graph.exists():
        return Encoders(image, "", 0)
    shutil.copy(graph, folder / AUDIO)
    tokens = int(np.load(paths.sounds / "tokens.npy", mmap_mode="r").shape[2])
    return Encoders(image, f"sound-{tokens}x{trained.config.hidden}-{sha256_of(folder / AUDIO)[:16]}", tokens)


def kept_encoders(folder: Path) -> Encoders:
    """Those of a bundle that stays as it is; its manifest gets the version of the pair that it belongs to now."""
    manifest, config = (json.loads((folder / name).read_text("utf-8")) for name in ("manifest.json", "config.json"))
    write_json(folder / "manifest.json", {**manifest, "version": VERSION})
    tokens = config.get("audio", {}).get("tokens", 0)
    return Encoders(
        manifest["encoder_id"], manifest.get("audio_encoder_id", ""), tokens, (*manifest.get("also_reads", ()),)
    )


def write_bundle(folder: Path, name: str, trained: Trained, paths: Paths, encoders: Encoders) -> None:
    """One bundle but for its encoders."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    config, decoder = trained.config, rounded_pair(trained).decoder
    export_embed(decoder, folder / EMBED)
    export_decoder(decoder, config, folder / DECODER)
    shutil.copy(paths.tokenizer, folder / "tokenizer.json")
    write_json(folder / "preprocessor_config.json", preprocessing())
    write_json(
        folder / "generation_config.json",
        {"eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": 16, "do_sample": False},
    )
    write_json(folder / "config.json", bundle_config(config, encoders))
    write_manifest(folder, name, trained, encoders, UNCALIBRATED)


def preprocessing() -> dict[str, Any]:
    return {
        "image_processor_type": "EdgeAgentImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "resample": "area when shrinking, bilinear when growing",
        "rescale_factor": PROCESSOR.rescale,
        "image_mean": list(PROCESSOR.mean),
        "image_std": list(PROCESSOR.std),
    }


def bundle_config(config: ModelConfig, encoders: Encoders) -> dict[str, Any]:
    made: dict[str, Any] = {
        "model_type": "edge_agent_vlm",
        "text_config": {
            "vocab_size": config.vocab,
            "hidden_size": config.hidden,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.heads,
            "head_dim": config.head_dim,
            "intermediate_size": config.mlp,
            "max_position_embeddings": config.context,
        },
        "vision_config": {"model_type": "efficientnet_lite0", "image_size": IMAGE_SIZE, "hidden_size": BACKBONE_WIDTH},
        "connector_size": config.connector,
        "image_token_id": IMAGE,
        "image_seq_len": IMAGE_TOKENS,
        "max_images": 1,
        "detail_views": {"rows": TILE_ROWS, "columns": TILE_COLUMNS, "overlap": TILE_OVERLAP},
        "prompt": {
            "ask_token": SPECIAL[ASK],
            "reply_token": SPECIAL[REPLY],
            "audio_position": AUDIO_POSITION,
            "text_position": TEXT_POSITION,
        },
    }
    if encoders.sound:
        made["audio"] = {"rate_hz": SOUND_RATE_HZ, "samples": SOUND_SAMPLES, "tokens": encoders.sound_tokens}
    return made


def write_manifest(folder: Path, name: str, trained: Trained, encoders: Encoders, calibration: dict[str, Any]) -> None:
    """Written last of all: it holds the digest of every other file but the card."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in UNLISTED)
    listed = [
        {"name": p.relative_to(folder).as_posix(), "size_bytes": p.stat().st_size, "sha256": sha256_of(p)}
        for p in files
    ]
    value = {
        "format": FORMAT,
        "name": name,
        "version": VERSION,
        "license": LICENSE,
        "encoder_id": encoders.image,
        "hidden_size": trained.config.hidden,
        "tokens_per_image": IMAGE_TOKENS,
        **({"audio_encoder_id": encoders.sound} if encoders.sound else {}),
        "calibration": calibration,
        "provenance": {
            "tool": "tools.train.export",
            "steps": trained.step,
            "minutes": round(trained.minutes, 1),
            "torch": torch.__version__,
        },
        "files": listed,
        **({"also_reads": list(encoders.also)} if encoders.also else {}),
    }
    write_json(folder / "manifest.json", value)
