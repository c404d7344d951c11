"""What was read for the last question and can be read on from: a picture is prefilled once, however much is asked."""

from __future__ import annotations

from edge_agent.vlm.decoder import KeyValueCache
from edge_agent.vlm.prompt import Chunk, same_chunk


class Prefix:
    """The caches behind each chunk of the last prompt but its question. A cache is never written to, so keeping one
    copies nothing. Only the first (the evidence) and the last are kept: memory does not grow with the conversation.
    """

    def __init__(self) -> None:
        self._chunks: tuple[Chunk, ...] = ()
        self._caches: dict[int, KeyValueCache] = {}

    def find(self, chunks: tuple[Chunk, ...]) -> tuple[int, KeyValueCache | None]:
        """How many of the first `chunks` need not be read, and the cache behind them; (0, None) for none."""
        same = 0
        while same < min(len(self._chunks), len(chunks) - 1) and same_chunk(self._chunks[same], chunks[same]):
            same += 1
        for count in range(same, 0, -1):
            if count in self._caches:
                return count, self._caches[count]
        return 0, None

    def keep(self, chunks: tuple[Chunk, ...], caches: dict[int, KeyValueCache]) -> None:
        """Remember `caches`, by how many of the `chunks` each has read."""
        known = {count for count in self._caches if self._same(chunks, count)}
        held = {count: self._caches[count] for count in known} | caches
        most = max(held, default=0)
        self._caches = {count: cache for count, cache in held.items() if count in (1, most)}
        self._chunks = chunks[:most]

    def forget(self) -> None:
        """Give the memory back."""
        self._chunks, self._caches = (), {}

    def _same(self, chunks: tuple[Chunk, ...], count: int) -> bool:
        return count < len(chunks) and all(
            same_chunk(a, b) for a, b in zip(self._chunks[:count], chunks[:count], strict=True)
        )


class Prefixes:
    """What was read of the `most` pictures (or other evidence) that were asked about last. What one owner's question
    left is never read for another's: whether somebody else asked about the same picture cannot be told from how long an
    answer takes.

    Raises ValueError for fewer than one.
    """

    def __init__(self, most: int = 1) -> None:
        if most < 1:
            raise ValueError(f"at least one prefix is kept, not {most}")
        self._most = most
        self._kept: list[tuple[str, Prefix]] = []  # who was asked for longest ago comes first

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, owner: str, chunks: tuple[Chunk, ...]) -> Prefix:
        """The owner's prefix that these chunks begin with, or an empty one, for which the oldest is forgotten. A prompt
        that is a question alone leaves nothing, and takes nobody's place.
        """
        if len(chunks) < 2:
            return Prefix()
        found = next((one for one in reversed(self._kept) if one[0] == owner and one[1].find(chunks)[0]), None)
        if found is not None:
            self._kept.remove(found)
        self._kept.append(found or (owner, Prefix()))
        del self._kept[: -self._most]
        return self._kept[-1][1]

    def forget(self) -> None:
        """Give the memory back."""
        self._kept.clear()
