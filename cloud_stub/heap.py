"""Keeps the memory that uploads come in: a server that gave each back to the system would fault every page in again."""

from __future__ import annotations

from edge_agent.heap import MMAP_THRESHOLD, TOP_PAD, TRIM_THRESHOLD, set_heap

KEPT_BYTES = 64 << 20
"""As much as all open uploads may hold together, see credit.ALL_BYTES."""
LARGEST_BYTES = 8 << 20
"""A tensor, whole, is smaller. What is larger is mapped by itself and given back at once, as ever."""
STEP_BYTES = 1 << 20


def keep_heap() -> bool:
    """Keep up to KEPT_BYTES that are free from now on; False where the C library has no such settings.

    The pages of a frame, in the socket's hands and in its tensor's, took more time than all else of an upload.
    """
    return set_heap({TRIM_THRESHOLD: KEPT_BYTES, TOP_PAD: STEP_BYTES, MMAP_THRESHOLD: LARGEST_BYTES})
