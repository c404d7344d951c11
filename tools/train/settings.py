"""Where the training data, the feature cache and the checkpoints lie, and the sizes of the model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

IMAGE_SIZE = 224
GRID = 7
CELLS = GRID * GRID
NAME_TOKENS = 2
IMAGE_TOKENS = CELLS + NAME_TOKENS
BACKBONE_WIDTH = 1280

TILE_ROWS = TILE_COLUMNS = 2
TILE_OVERLAP = 0.1
TILES = TILE_ROWS * TILE_COLUMNS
VIEWS = 1 + TILES
AUDIO_POSITION = 256
TEXT_POSITION = 272
SOUND_RATE_HZ, SOUND_SAMPLES = 16_000, 80_000
assert VIEWS * IMAGE_TOKENS <= AUDIO_POSITION < TEXT_POSITION


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
        return self.work / "features.u8"

    @property
    def tiles(self) -> Path:
        return self.work / "tiles.u8"

    @property
    def sounds(self) -> Path:
        return self.work / "sound"

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
    context: int = 512
    dropout: float = 0.0

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads
