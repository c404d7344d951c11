"""Backpressure: how many bytes of tensors a session may still send, and how many all uploads may hold together."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.transport.frames import FrameError

SESSION_BYTES = 1 << 20
ALL_BYTES = 64 << 20


class UploadPool:
    """Bytes of the uploads of all open turns. While they are `most` or more, nobody gets new credit."""

    def __init__(self, most: int = ALL_BYTES) -> None:
        self._most = most
        self._waiting: list[Callable[[], None]] = []
        self.held = 0

    def take(self, size: int) -> None:
        self.held += size

    def give_back(self, size: int) -> None:
        """A turn is over; whoever waited is called where there is room again."""
        self.held -= size
        if self.held < self._most:
            waiting, self._waiting = self._waiting, []
            for grant in waiting:
                grant()

    def when_free(self, grant: Callable[[], None]) -> None:
        """Call `grant` once there is room: at once, or when a turn is over."""
        if self.held < self._most:
            grant()
        else:
            self._waiting.append(grant)


class Credit:
    """What one session may send. Bytes that came are granted again in portions of a quarter of `window`."""

    def __init__(self, pool: UploadPool, grant: Callable[[int], None], window: int = SESSION_BYTES) -> None:
        self._pool = pool
        self._grant = grant
        self._window = window
        self._owed = 0
        self._held: dict[int, int] = {}
        self.left = window

    def take(self, stream: int, size: int) -> None:
        """A chunk of `size` bytes came. Raises FrameError if it was not granted."""
        if size > self.left:
            raise FrameError(f"{size} bytes of a tensor with {self.left} granted", code="too_large")
        self.left -= size
        self._held[stream] = self._held.get(stream, 0) + size
        self._pool.take(size)
        before, self._owed = self._owed, self._owed + size
        if before < self._window // 4 <= self._owed:
            self._pool.when_free(self._pay)

    @property
    def quiet(self) -> int:
        """How many bytes may come before something is granted again."""
        due = self._window // 4 - self._owed - 1
        return min(self.left, due) if due >= 0 else self.left

    def end(self, stream: int) -> None:
        """The turn of `stream` holds nothing any more."""
        self._pool.give_back(self._held.pop(stream, 0))

    def _pay(self) -> None:
        owed, self._owed = self._owed, 0
        self.left += owed
        self._grant(owed)
