"""Session and sequence numbers of one connection, both directions. Pure state, no I/O."""

from __future__ import annotations

import dataclasses

from edge_agent.transport.frames import Frame, FrameError


class Numbering:
    """Stamps outgoing frames and checks incoming ones: one session, per stream and direction 0, 1, 2, ...

    Raises FrameError for a gap, a repeat, or a frame of another session. Holds two integers a live stream.
    """

    def __init__(self, session: int = 0) -> None:
        self.session = session
        self._sent: dict[int, int] = {}
        self._seen: dict[int, int] = {}

    def stamp(self, frame: Frame, stream: int = 0) -> Frame:
        """The frame with session, stream and its next sequence number."""
        seq = self._sent.get(stream, 0)
        self._sent[stream] = seq + 1
        return dataclasses.replace(frame, session=self.session, stream=stream, seq=seq)

    def accept(self, frame: Frame) -> None:
        """Note an incoming frame."""
        if frame.session != self.session:
            raise FrameError(f"{frame.name} belongs to another session")
        expected = self._seen.get(frame.stream, 0)
        if frame.seq != expected:
            raise FrameError(f"{frame.name} has number {frame.seq} of stream {frame.stream}; {expected} was next")
        self._seen[frame.stream] = expected + 1

    def forget(self, stream: int) -> None:
        """Drop the numbers of a stream that ended; its id is never used again."""
        self._sent.pop(stream, None)
        self._seen.pop(stream, None)

    def seen(self, stream: int) -> int:
        """How many frames of `stream` were received."""
        return self._seen.get(stream, 0)

    def note(self, stream: int, frames: int) -> None:
        """Count incoming frames whose numbers were compared with `seen`."""
        self._seen[stream] = self._seen.get(stream, 0) + frames

    def skip(self, stream: int, *, seen: int) -> None:
        """Begin with `seen` frames of `stream` already received (HELLO, before the session had its number)."""
        self._seen[stream] = seen
