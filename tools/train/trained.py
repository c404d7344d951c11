"""Trained weights, read from checkpoints and ready to run: as trained, or rounded to int8 as they are shipped."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from tools.train.checkpoints import load_checkpoint, sub_state
from tools.train.eyes import Eyes
from tools.train.graphs import rounded
from tools.train.model import Decoder, Ensemble
from tools.train.reckoned import Reckoned
from tools.train.reckoning import Reckoning
from tools.train.settings import NAME_TOKENS, ModelConfig, Paths


@dataclass(slots=True)
class Trained:
    """The averaged weights of a checkpoint, ready to run."""

    config: ModelConfig
    eyes: Eyes
    decoder: Decoder | Ensemble | Reckoned
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


def together(cloud: Trained, other: Trained, tiles: bool) -> Trained:
    """The cloud's own decoder with another beside it, which reads `tiles` or only the whole picture.

    Raises SystemExit unless they share word embeddings.
    """
    assert isinstance(cloud.decoder, Decoder)
    assert isinstance(other.decoder, Decoder)
    if not torch.equal(cloud.decoder.words.weight, other.decoder.words.weight):
        raise SystemExit("the decoders were not grown out of the same edge decoder: train the cloud's again")
    beside = copy.deepcopy(other.decoder)
    beside.reads_tiles = tiles
    config = replace(cloud.config, layers=cloud.config.layers + other.config.layers)
    return replace(cloud, config=config, decoder=Ensemble([cloud.decoder, beside]))


def load_cloud(paths: Paths, alone: bool) -> Trained:
    """cloud.pt, and unless `alone` beside it the cloud of an earlier sitting (cloud-before.pt), else the edge's."""
    cloud, before = load_trained(paths.work / "cloud.pt"), paths.work / "cloud-before.pt"
    if not alone:
        cloud = together(cloud, load_trained(before if before.exists() else paths.work / "edge.pt"), before.exists())
    return told(cloud, paths)


def told(cloud: Trained, paths: Paths) -> Trained:
    """The same with what `reckoning` finds, if that was fitted."""
    path = paths.work / "reckoning.pt"
    if not path.exists():
        return cloud
    reckoning = Reckoning(cloud.config.hidden)
    reckoning.load_state_dict(load_checkpoint(path))
    assert not isinstance(cloud.decoder, Reckoned)
    tokenizer = Tokenizer.from_file(str(paths.tokenizer))
    decoder = Reckoned(cloud.decoder, reckoning, cloud.config, tokenizer).eval()
    return replace(cloud, config=replace(cloud.config, layers=cloud.config.layers + 1), decoder=decoder)


def untold(cloud: Trained) -> Trained:
    """The same without what `told` added, if it did."""
    if not isinstance(cloud.decoder, Reckoned):
        return cloud
    config = replace(cloud.config, layers=cloud.config.layers - 1)
    return replace(cloud, config=config, decoder=cloud.decoder.decoder)


def load_pair(paths: Paths, alone: bool) -> tuple[Trained, Trained]:
    """The edge's model and the cloud's, as `load_cloud` puts it together."""
    return load_trained(paths.work / "edge.pt"), load_cloud(paths, alone)


def rounded_pair(trained: Trained) -> Trained:
    """The same with every large matrix rounded to int8, as it is shipped."""
    eyes, decoder = rounded(trained.eyes), rounded(trained.decoder)
    assert isinstance(eyes, Eyes)
    assert isinstance(decoder, (Decoder, Ensemble, Reckoned))
    return replace(trained, eyes=eyes, decoder=decoder)
