"""What bundles ship for codecs (bases, medians, tables of changes), told apart by the first bytes of each file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edge_agent.errors import ModelError
from edge_agent.transport import basis, changes, refilled
from edge_agent.transport.codecs import CODECS, Codec, register_codec
from edge_agent.transport.projected import PREFIX, Projected

MOST_BYTES = 16 << 20
_HINT = "edge-agent models verify"


def register_shipped(paths: Iterable[Path]) -> None:
    """Make the codecs of these files known to this process: bases before what is told in them. Raises ModelError."""
    for path in sorted(paths, key=lambda path: path.name):
        register_codec(read_shipped(path))


def read_shipped(path: Path) -> Codec:
    """The codec of a file. Raises ModelError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path} is larger than {MOST_BYTES >> 20} MiB", _HINT)
        return parse_shipped(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"its header lacks {error}" if isinstance(error, KeyError) else error
        raise ModelError(f"{path} is not what a codec has learned ({why})", _HINT) from error


def parse_shipped(data: bytes) -> Codec:
    """The codec of the bytes of a file. Raises ModelError, ValueError, KeyError or TypeError."""
    if data[:8] == refilled.MAGIC:
        return refilled.Refilled(refilled.parse_medians(data))
    if data[:8] == changes.MAGIC:
        projected = CODECS.get(PREFIX + str(changes.header_of(data)["basis"]))
        if not isinstance(projected, Projected):
            raise ValueError("it belongs to a basis that is not here")
        return changes.Changes(changes.parse_changes(data, projected), projected)
    return Projected(basis.parse_basis(data))
