"""Reads checkpoints: the weights of a run, and the decoder in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tools.train.model import Decoder
from tools.train.settings import ModelConfig


def read_decoder(weights: dict[str, Tensor], config: ModelConfig) -> Decoder:
    """The decoder of a checkpoint; one of version 0.2, which knew no places, gets them as drawn."""
    decoder = Decoder(config)
    own = sub_state(weights, "decoder.")
    decoder.load_state_dict({"cells.weight": decoder.cells.weight.data, **own})
    return decoder


def load_checkpoint(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def sub_state(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
