"""From tokens to the text that is shown: piece by piece, whole characters only, ended by a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_agent.errors import UsageError

MAX_STOPS = 16
MAX_STOP_CHARS = 200
_BROKEN = "\ufffd"  # what a tokenizer writes for bytes that are not yet a whole character


class Words:
    """The text of one answer. `stopped` once a stop string came: neither it nor what follows is given out."""

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str] = ()) -> None:
        if len(stops) > MAX_STOPS or not all(0 < len(stop) <= MAX_STOP_CHARS for stop in stops):
            raise UsageError(
                f"{len(stops)} stop strings", f"give at most {MAX_STOPS} of 1 to {MAX_STOP_CHARS} characters"
            )
        self._decode = decode
        self._stops = tuple(stops)
        self._ids: list[int] = []
        self._told = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """What one more token adds to the text that is sure to be part of the answer."""
        self._ids.append(token)
        whole = self._decode(self._ids)
        found = [at for stop in self._stops if (at := whole.find(stop, max(0, self._told - len(stop)))) >= 0]
        if found:
            self.stopped = True
            return self._tell(whole, max(self._told, min(found)))
        return self._tell(whole, len(whole) - self._unsure(whole))

    def end(self) -> str:
        """What was held back, once no token follows."""
        if self.stopped:
            return ""
        whole = self._decode(self._ids)
        return self._tell(whole, len(whole))

    def _tell(self, whole: str, until: int) -> str:
        told, self._told = self._told, max(self._told, until)
        return whole[told : self._told]

    def _unsure(self, whole: str) -> int:
        """How many characters at the end may still turn into something else, or into a stop string."""
        broken = len(whole) - len(whole.rstrip(_BROKEN))
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(whole)), broken, -1):
                if whole.endswith(stop[:size]):
                    broken = size
                    break
        return broken
