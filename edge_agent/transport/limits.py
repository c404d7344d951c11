"""What one side of EAP/1 accepts: announced in WELCOME, enforced by both sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.transport.frames import FrameError

CODEC_CONFIG_BYTES = 1024
ID_CHARS = 128
"""Longest encoder id, codec id, model name, device name or turn id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one connection and of one turn. A peer may announce less, not more."""

    turns_in_flight: int = 4
    tensors_per_turn: int = 8
    chunk_bytes: int = 64 * 1024
    compressed_bytes_per_turn: int = 4 * 1024 * 1024
    decoded_bytes_per_turn: int = 16 * 1024 * 1024
    tokens_per_tensor: int = 4096
    hidden_size: int = 8192
    text_bytes_per_turn: int = 16 * 1024
    history_turns: int = 16
    new_tokens_per_turn: int = 512
    down_bytes_per_turn: int = 256 * 1024
    deadline_ms: int = 600_000

    def to_meta(self) -> dict[str, int]:
        """The limits as WELCOME carries them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Limits:
        """The limits that a peer announced, each lowered to ours. Missing ones are ours, unknown ones ignored.

        Raises FrameError for a value that is not a positive integer.
        """
        found: dict[str, int] = {}
        for name, own in cls().to_meta().items():
            value = meta.get(name, own)
            if type(value) is not int or value < 1:
                raise FrameError(f"the limit {name} is {value!r}, not a positive integer")
            found[name] = min(value, own)
        return cls(**found)
