"""Finite automata over bytes: built from pieces, run as sets of states, each set computed once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

MAX_NODES = 20_000
ByteSet = frozenset[int]


class Network:
    """A nondeterministic automaton while it is built. A fragment is (first node, last node)."""

    def __init__(self) -> None:
        self.moves: list[list[tuple[ByteSet, int]]] = []
        self.free: list[list[int]] = []

    def node(self) -> int:
        """A new node. Raises ValueError past MAX_NODES."""
        if len(self.moves) >= MAX_NODES:
            raise ValueError(f"over {MAX_NODES} states")
        self.moves.append([])
        self.free.append([])
        return len(self.moves) - 1

    def literal(self, text: bytes) -> tuple[int, int]:
        """Exactly `text`."""
        first = last = self.node()
        for byte in text:
            after = self.node()
            self.moves[last].append((frozenset((byte,)), after))
            last = after
        return first, last

    def one_of(self, allowed: Iterable[int]) -> tuple[int, int]:
        """One byte of those."""
        first, last = self.node(), self.node()
        self.moves[first].append((frozenset(allowed), last))
        return first, last

    def chain(self, parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """All parts, one after the other."""
        for (_, end), (begin, _) in pairwise(parts):
            self.free[end].append(begin)
        return parts[0][0], parts[-1][1]

    def either(self, parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Any one of the parts."""
        first, last = self.node(), self.node()
        for begin, end in parts:
            self.free[first].append(begin)
            self.free[end].append(last)
        return first, last

    def maybe(self, part: tuple[int, int]) -> tuple[int, int]:
        """The part, or nothing."""
        return self.either([part, self.literal(b"")])

    def many(self, part: tuple[int, int]) -> tuple[int, int]:
        """The part any number of times, or nothing."""
        first, last = self.node(), self.node()
        begin, end = part
        self.free[first] += [begin, last]
        self.free[end] += [begin, last]
        return first, last


State = frozenset[int]


class Automaton:
    """Runs a network from `first` to `last`. A state is a set of nodes; the empty one is dead."""

    def __init__(self, network: Network, first: int, last: int) -> None:
        self._network = network
        self._last = last
        self._known: dict[State, dict[int, State]] = {}
        self.start = self._closed({first})

    def next(self, state: State, byte: int) -> State:
        """The state behind one more byte."""
        moves = self._known.setdefault(state, {})
        if byte not in moves:
            behind = {to for node in state for allowed, to in self._network.moves[node] if byte in allowed}
            moves[byte] = self._closed(behind)
        return moves[byte]

    def run(self, state: State, data: bytes) -> State:
        """The state behind all of `data`."""
        for byte in data:
            if not state:
                break
            state = self.next(state, byte)
        return state

    def accepts(self, state: State) -> bool:
        """Whether it may end here."""
        return self._last in state

    def options(self, state: State) -> set[int]:
        """The bytes that may follow."""
        return {byte for node in state for allowed, _ in self._network.moves[node] for byte in allowed}

    def forced(self, state: State) -> bytes:
        """What must follow, byte by byte, as long as there is no choice."""
        made = bytearray()
        while not self.accepts(state) and len(options := self.options(state)) == 1:
            byte = options.pop()
            made.append(byte)
            state = self.next(state, byte)
        return bytes(made)

    def closing(self, state: State) -> bytes:
        """The shortest text that leads to an end; of equal ones the first by its bytes."""
        seen, queue = {state}, deque([(state, b"")])
        while queue:
            here, text = queue.popleft()
            if self.accepts(here):
                return text
            for byte in sorted(self.options(here)):
                after = self.next(here, byte)
                if after and after not in seen:
                    seen.add(after)
                    queue.append((after, text + bytes((byte,))))
        return b""

    def _closed(self, nodes: set[int]) -> State:
        found, waiting = set(nodes), list(nodes)
        while waiting:
            for to in self._network.free[waiting.pop()]:
                if to not in found:
                    found.add(to)
                    waiting.append(to)
        return frozenset(found)
