"""Embeddings to measure on: values with a few loud channels, and those that the shipped encoder makes of photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.cli.bench import pictures
from edge_agent.types import F32, U8, Embeddings

NORMAL, ENCODED = "normal", "encoded"
INPUTS = (NORMAL, ENCODED)
COUNT = 8
LOUD_CHANNELS = 6
STEADY_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class TensorScene:
    """Matrices [tokens, hidden] float32 that follow each other, each a little changed from the one before."""

    case: str
    tensors: list[F32]

    def at(self, index: int) -> F32:
        """The matrix of that number, round and round."""
        return self.tensors[index % len(self.tensors)]

    def before(self, index: int) -> F32:
        """The one before it."""
        return self.tensors[(index - 1) % len(self.tensors)]

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and hidden."""
        tokens, hidden = self.tensors[0].shape
        return tokens, hidden


def normal(tokens: int, hidden: int) -> list[F32]:
    """Values of unit variance, some channels ten times louder; from one matrix to the next most tokens stay."""
    rng = np.random.default_rng(5)
    loudness = np.ones(hidden)
    loudness[rng.choice(hidden, LOUD_CHANNELS, replace=False)] = 10
    found = [rng.standard_normal((tokens, hidden)) * loudness]
    while len(found) < COUNT:
        moved = rng.random(tokens) > STEADY_SHARE
        found.append(found[-1] + moved[:, None] * rng.standard_normal((tokens, hidden)) * loudness * 0.2)
    return [matrix.astype(np.float32) for matrix in found]


def encoded(photos: list[U8]) -> list[Embeddings]:
    """Embeddings of whole pictures by the shipped encoder. Raises ModelError."""
    from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

    encoder = VisionEncoder(Bundle.open(find_bundle("edge-vqa")))
    return [encoder.encode(photo) for photo in photos]


def frames_of(data: Path | None) -> list[U8]:
    """Consecutive pictures to encode: of a clip where there is a folder with one, else the texture."""
    names = pictures.there(data)
    name = next((name for name in pictures.CLIPS if name in names), pictures.TEXTURE)
    return pictures.base_frames(name, 640, 480, data)[:COUNT]
