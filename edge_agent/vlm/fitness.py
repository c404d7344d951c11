"""Whether a bundle opens and fits together: what can be said of one for whose files nobody wrote down any hash."""

from __future__ import annotations

from pathlib import Path

from edge_agent.errors import ModelError
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.generate import Generator
from edge_agent.vlm.pulled import manifest_of
from edge_agent.vlm.vision import VisionEncoder


def unknown_hashes(path: Path) -> bool:
    """Whether some file of the bundle has no hash to be compared with: a model hub's folder that was copied by hand."""
    try:
        return not all(entry.sha256 for entry in manifest_of(path).files)
    except ModelError:
        return False


def opening_problems(path: Path) -> list[str]:
    """What is wrong with the bundle's graphs and tokenizer, found by opening them in the precision that is used."""
    try:
        bundle = Bundle.open(path)
        Generator(bundle)
        if bundle.has_vision:
            VisionEncoder(bundle)
    except ModelError as error:
        return [error.message]
    return []
