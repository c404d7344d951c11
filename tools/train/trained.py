"""Trained weights, read from checkpoints and ready to run: as trained, or rounded to int8 as they are shipped."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tools.train.checkpoints import load_checkpoint, sub_state
from tools.train.eyes import Eyes
from tools.train.graphs import rounded
from tools.train.model import Decoder, Ensemble
from tools.train.settings import NAME_TOKENS, ModelConfig, Paths


@dataclass(slots=True)
class Trained:
    """The averaged weights of a checkpoint, ready to run."""

    config: ModelConfig
    eyes: Eyes
    decoder: Decoder | Ensemble
    step: int
    minutes: float


def load_trained(path: Path) -> Trained:
    state = load_checkpoint(path)
    config = ModelConfig(**state["config"])
    average = state["average"]
    classes, width = average["eyes.naming.head.weight"].shape
    pieces = torch.zeros(classes, NAME_TOKENS, dtype=torch.int64)
    eyes, decoder = Eyes(config, torch.nn.Linear(width, classes), pieces), Decoder(config)
    eyes.load_state_dict(sub_state(average, "eyes."))
    decoder.load_state_dict(sub_state(average, "decoder."))
    return Trained(config, eyes.eval(), decoder.eval(), state["step"], state["spent_s"] / 60)


def together(cloud: Trained, edge: Trained) -> Trained:
    """The cloud's own decoder with the edge's beside it. Raises SystemExit unless they share word embeddings."""
    assert isinstance(cloud.decoder, Decoder)
    assert isinstance(edge.decoder, Decoder)
    if not torch.equal(cloud.decoder.words.weight, edge.decoder.words.weight):
        raise SystemExit("the cloud decoder was not grown out of this edge decoder: train it again")
    beside = copy.deepcopy(edge.decoder)
    beside.reads_tiles = False
    config = replace(cloud.config, layers=cloud.config.layers + edge.config.layers)
    return replace(cloud, config=config, decoder=Ensemble([cloud.decoder, beside]))


def load_pair(paths: Paths, alone: bool) -> tuple[Trained, Trained]:
    """The edge's model and the cloud's: cloud.pt with the edge's decoder beside it, unless `alone`."""
    edge = load_trained(paths.work / "edge.pt")
    cloud = load_trained(paths.work / "cloud.pt")
    return edge, cloud if alone else together(cloud, edge)


def rounded_pair(trained: Trained) -> Trained:
    """The same with every large matrix rounded to int8, as it is shipped."""
    eyes, decoder = rounded(trained.eyes), rounded(trained.decoder)
    assert isinstance(eyes, Eyes)
    assert isinstance(decoder, (Decoder, Ensemble))
    return replace(trained, eyes=eyes, decoder=decoder)
