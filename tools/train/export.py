"""Writes the bundle pair from the checkpoints: `python -m tools.train.export --out models`.

Proves before it ends that the shipped runtime, on the shipped int8 graphs, gives word for word what torch gives on
the same rounded weights, on 50 pictures that were not trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from edge_agent.types import Embeddings
from edge_agent.vlm.bundle import DECODER, EMBED, VISION, Bundle
from edge_agent.vlm.confidence import summarise
from edge_agent.vlm.generate import Generator, looping
from edge_agent.vlm.manifest import FORMAT, sha256_of
from edge_agent.vlm.selftest import QUESTION, picture, probe
from edge_agent.vlm.vision import VisionEncoder
from tools.train.features import PROCESSOR, draw, load_cache
from tools.train.graphs import export_decoder, export_embed, export_vision, rounded
from tools.train.model import Connector, Decoder, Ensemble
from tools.train.pack import attention_mask
from tools.train.questions import Asker
from tools.train.settings import BACKBONE_WIDTH, IMAGE_SIZE, IMAGE_TOKENS, ModelConfig, Paths, default_paths
from tools.train.text import ASK, EOS, IMAGE, PAD, REPLY, SPECIAL
from tools.train.train import load_checkpoint, sub_state
from tools.train.views import View

VERSION = "0.1.0"
LICENSE = "Apache-2.0 for code and weights; training data has terms of its own, see README.md"
UNCALIBRATED = {
    "temperature": 1.0,
    "bias": 0.0,
    "probability_weight": 1.0,
    "entropy_weight": 0.0,
    "accept_entropy": 0.15,
    "eos_token_ids": [EOS],
}


@dataclass(slots=True)
class Trained:
    """The averaged weights of a checkpoint, ready to run."""

    config: ModelConfig
    connector: Connector
    decoder: Decoder | Ensemble
    step: int
    minutes: float


def load_trained(path: Path) -> Trained:
    state = load_checkpoint(path)
    config = ModelConfig(**state["config"])
    connector, decoder = Connector(config), Decoder(config)
    connector.load_state_dict(sub_state(state["average"], "connector."))
    decoder.load_state_dict(sub_state(state["average"], "decoder."))
    return Trained(config, connector.eval(), decoder.eval(), state["step"], state["spent_s"] / 60)


def together(cloud: Trained, edge: Trained) -> Trained:
    """The cloud's own decoder with the edge's beside it. Raises SystemExit unless they share word embeddings."""
    assert isinstance(cloud.decoder, Decoder)
    assert isinstance(edge.decoder, Decoder)
    if not torch.equal(cloud.decoder.words.weight, edge.decoder.words.weight):
        raise SystemExit("the cloud decoder was not grown out of this edge decoder: train it again")
    config = replace(cloud.config, layers=cloud.config.layers + edge.config.layers)
    return replace(cloud, config=config, decoder=Ensemble([cloud.decoder, edge.decoder]))


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def write_bundle(folder: Path, name: str, trained: Trained, paths: Paths, encoder_id: str | None) -> str:
    """One bundle; with its vision encoder if `encoder_id` is None. Returns the encoder_id."""
    shutil.rmtree(folder / "onnx", ignore_errors=True)
    (folder / "onnx").mkdir(parents=True)
    config = trained.config
    decoder = rounded(trained.decoder)
    assert isinstance(decoder, (Decoder, Ensemble))
    export_embed(decoder, folder / EMBED)
    export_decoder(decoder, config, folder / DECODER)
    shutil.copy(paths.tokenizer, folder / "tokenizer.json")
    write_json(folder / "preprocessor_config.json", preprocessing())
    write_json(
        folder / "generation_config.json",
        {"eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": 16, "do_sample": False},
    )
    write_json(folder / "config.json", bundle_config(config))
    if encoder_id is None:
        connector = rounded(trained.connector)
        assert isinstance(connector, Connector)
        export_vision(connector, folder / VISION)
        digest = hashlib.sha256((folder / VISION).read_bytes() + (folder / "preprocessor_config.json").read_bytes())
        encoder_id = f"lite0-{IMAGE_TOKENS}x{config.hidden}-{digest.hexdigest()[:16]}"
    write_manifest(folder, name, trained, encoder_id, UNCALIBRATED)
    return encoder_id


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


def bundle_config(config: ModelConfig) -> dict[str, Any]:
    return {
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
        "prompt": {"ask_token": SPECIAL[ASK], "reply_token": SPECIAL[REPLY]},
    }


def write_manifest(folder: Path, name: str, trained: Trained, encoder_id: str, calibration: dict[str, Any]) -> None:
    """Written last of all: it holds the digest of every other file but the card."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("manifest.json", "README.md"))
    listed = [
        {"name": p.relative_to(folder).as_posix(), "size_bytes": p.stat().st_size, "sha256": sha256_of(p)}
        for p in files
    ]
    value = {
        "format": FORMAT,
        "name": name,
        "version": VERSION,
        "license": LICENSE,
        "encoder_id": encoder_id,
        "hidden_size": trained.config.hidden,
        "tokens_per_image": IMAGE_TOKENS,
        "calibration": calibration,
        "provenance": {
            "tool": "tools.train.export",
            "steps": trained.step,
            "minutes": round(trained.minutes, 1),
            "torch": torch.__version__,
        },
        "files": listed,
    }
    write_json(folder / "manifest.json", value)


def torch_answer(
    connector: Connector, decoder: Decoder | Ensemble, tokenizer: Tokenizer, features: torch.Tensor, question: str
) -> str:
    """Greedy answer without any cache, by the training code: the other side of the equality check."""
    ids = [ASK, *tokenizer.encode(question, add_special_tokens=False).ids, REPLY]
    made: list[int] = []
    with torch.no_grad():
        image = connector(features[None])
        while len(made) < 16:
            row = torch.tensor([ids + made])
            x = torch.cat((image, decoder.embed(row)), dim=1)
            mask = attention_mask(torch.ones_like(row), torch.ones(1, IMAGE_TOKENS, dtype=torch.bool))
            hidden, _ = decoder.run(x, torch.arange(x.shape[1])[None], mask)
            token = int(decoder.logits(hidden[0, -1]).argmax())
            if token == EOS:
                break
            made.append(token)
            if looping(made):
                return str(tokenizer.decode(made[:-1])).strip()
    return str(tokenizer.decode(made)).strip()


def prove_equal(
    edge: Path, bundle: Path, trained: Trained, views: list[View], features: NDArray[np.float16], count: int = 50
) -> dict[str, int]:
    """Compares runtime and torch on a question each of `count` held-out pictures. Raises SystemExit if one differs."""
    opened, seen = Bundle.open(bundle), VisionEncoder(Bundle.open(edge))
    generator, tokenizer = Generator(opened), Tokenizer.from_file(str(bundle / "tokenizer.json"))
    asker = Asker(random.Random(5), ["tabby"])
    connector, decoder = rounded(trained.connector), rounded(trained.decoder)
    assert isinstance(connector, Connector)
    assert isinstance(decoder, (Decoder, Ensemble))
    rows = [i for i, v in enumerate(views) if v["split"] != "train"][::7][:count]
    same = same_unrounded = 0
    for i in rows:
        asked = asker.ask(views[i], [])
        question = asked[0].text if asked else "what is this?"
        exact = torch.from_numpy(features[i].astype(np.float32))
        embeddings = seen.encode(draw(views[i]))
        answer = summarise(list(generator.stream([embeddings], question)), opened.calibration).text
        same += answer == torch_answer(connector, decoder, tokenizer, exact, question)
        same_unrounded += answer == torch_answer(trained.connector, trained.decoder, tokenizer, exact, question)
    if same < len(rows):
        raise SystemExit(f"{bundle}: only {same} of {len(rows)} answers equal torch's on the same weights")
    return {"compared": len(rows), "equal": same, "equal_to_unrounded": same_unrounded}


def embeddings_of(connector: Connector, features: NDArray[np.float16], encoder_id: str) -> Embeddings:
    """What the vision graph would give for cached features."""
    with torch.no_grad():
        data = connector(torch.from_numpy(features.astype(np.float32))[None])[0].numpy()
    return Embeddings(data=data, encoder_id=encoder_id)


def write_golden(folder: Path) -> None:
    """Adds to the manifest what this machine computes for the picture of the self-test."""
    bundle = Bundle.open(folder)
    embeddings = VisionEncoder(bundle).encode(picture())
    answer = summarise(list(Generator(bundle).stream([embeddings], QUESTION)), bundle.calibration).text
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    write_json(
        folder / "manifest.json", {**manifest, "golden": {"embedding": probe(embeddings.data), "answer": answer}}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument(
        "--cloud", type=Path, help="checkpoint of the cloud decoder (default: cloud.pt, else the edge's own)"
    )
    parser.add_argument("--alone", action="store_true", help="ship the cloud's decoder without the edge's beside it")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    paths = default_paths()
    edge = load_trained(paths.work / "edge.pt")
    cloud_path = wanted.cloud or paths.work / "cloud.pt"
    cloud = load_trained(cloud_path) if cloud_path.exists() else edge
    if cloud is not edge and not wanted.alone:
        cloud = together(cloud, edge)
    encoder_id = write_bundle(wanted.out / "edge-vqa", "edge-vqa", edge, paths, None)
    write_bundle(wanted.out / "cloud-vqa", "cloud-vqa", cloud, paths, encoder_id)
    write_golden(wanted.out / "edge-vqa")
    views, features = load_cache(paths)
    for name, trained in (("edge-vqa", edge), ("cloud-vqa", cloud)):
        proof = prove_equal(wanted.out / "edge-vqa", wanted.out / name, trained, views, features)
        write_json(paths.work / f"{name}-equality.json", proof)
        print(name, encoder_id, proof)


if __name__ == "__main__":
    main()
