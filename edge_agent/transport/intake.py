"""The intake of one connection: pieces of tensors taken in one native call each (decision 0074)."""

from __future__ import annotations

from edge_agent._core import Filling, Intake
from edge_agent.transport.checksum import crc32

__all__ = ["Filling", "Intake", "new_intake"]


def new_intake() -> Intake:
    """One that takes nothing yet."""
    return Intake(crc32)
