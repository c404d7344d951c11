"""RESUME and RESUMED of EAP/1: how far each side of a session has come on each stream, told over a new connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.transport.fields import int_of, list_of, text_of
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.messages import MAX_CREDIT

WINDOW_S = 120.0
"""How long a server keeps a session that has lost its connection."""
MAX_STREAMS = 16
Counts = tuple[tuple[int, int], ...]
"""Of each stream how many frames were received, in order of the streams."""


@dataclass(frozen=True, slots=True)
class Resume:
    """RESUME: in place of HELLO, with the session's number in the header. `streams`: what the client has received."""

    token: str
    streams: Counts

    def to_frame(self) -> Frame:
        return Frame(FrameType.RESUME, {"resume_token": self.token, "streams": [list(one) for one in self.streams]})

    @classmethod
    def from_frame(cls, frame: Frame) -> Resume:
        """Raises FrameError."""
        return cls(text_of(frame.meta, "resume_token"), _counts(frame.meta))


@dataclass(frozen=True, slots=True)
class Resumed:
    """RESUMED: `streams` are those of RESUME that the server still knows, with what it has received of each. `credit`:
    how many bytes of tensors may be sent from there on, those sent again included.
    """

    streams: Counts
    credit: int | None = None

    def to_frame(self) -> Frame:
        meta: dict[str, Any] = {"streams": [list(one) for one in self.streams]}
        return Frame(FrameType.RESUMED, meta if self.credit is None else meta | {"credit": self.credit})

    @classmethod
    def from_frame(cls, frame: Frame) -> Resumed:
        """Raises FrameError."""
        credit = int_of(frame.meta, "credit", 0, MAX_CREDIT) if "credit" in frame.meta else None
        return cls(_counts(frame.meta), credit)


def _counts(meta: Mapping[str, Any]) -> Counts:
    found = []
    for one in list_of(meta, "streams", MAX_STREAMS):
        if not isinstance(one, list) or len(one) != 2 or not all(type(x) is int and 0 <= x < 2**32 for x in one):
            raise FrameError("streams are not pairs of a stream and a count")
        found.append((one[0], one[1]))
    if 0 in dict(found) or len(dict(found)) != len(found):
        raise FrameError("a stream comes twice, or is the session's own")
    return tuple(found)
