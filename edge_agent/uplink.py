"""How long an upload kept the link busy: what the link's monitor and the length of drafts both estimate from."""

from __future__ import annotations

HANDLING_MS = 4.0
"""What an upload takes beside its bytes and the round trip: frames written, read, handed on."""


def busy_ms(upload_ms: float, rtt_ms: float) -> float:
    """What its bytes took of an upload that the cloud had after `upload_ms`, both ways of the link included."""
    return max(0.0, upload_ms - rtt_ms - HANDLING_MS)
