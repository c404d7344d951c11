"""Where the training data, the feature cache and the checkpoints lie, and the sizes of the model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

IMAGE_SIZE = 224
GRID = 7
IMAGE_TOKENS = GRID * GRID
BACKBONE_WIDTH = 1280


@dataclass(frozen=True, slots=True)
class Paths:
    """`data` is the folder of data sets; `work` holds everything made from it and may be deleted."""

    data: Path
    work: Path

    @property
    def views(self) -> Path:
        return self.work / "views.jsonl"

    @property
    def features(self) -> Path:
        return self.work / "features.f16"

    @property
    def encoder(self) -> Path:
        return self.work / "backbone.onnx"

    @property
    def tokenizer(self) -> Path:
        return self.work / "tokenizer.json"


def default_paths() -> Paths:
    """Data from EDGE_AGENT_DATA, work from EDGE_AGENT_TRAIN (default: build/train)."""
    data = os.environ.get("EDGE_AGENT_DATA")
    if not data:
        raise SystemExit("EDGE_AGENT_DATA is not set: export EDGE_AGENT_DATA=/path/to/data")
    return Paths(Path(data), Path(os.environ.get("EDGE_AGENT_TRAIN", "build/train")))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of a decoder and of the connector in front of it. `hidden` is what is streamed, a value a token."""

    vocab: int
    hidden: int = 192
    layers: int = 2
    heads: int = 6
    mlp: int = 576
    connector: int = 512
    context: int = 256
    dropout: float = 0.1

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads
