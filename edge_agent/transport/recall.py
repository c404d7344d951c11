"""What the cloud knows of this session already, as far as the client can tell: tensors and the last conversation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from edge_agent.transport.encoded import EncodedTensor
from edge_agent.types import Turn

TENSORS = 32
KEPT_BYTES = 16 << 10
"""Of a larger tensor only the name is kept: no change is told of it."""


class Recall:
    """Tensors that were sent, and what was said up to the last turn. Pure state, bounded."""

    def __init__(self) -> None:
        self._tensors: OrderedDict[str, EncodedTensor | None] = OrderedDict()
        self._turn_id = ""
        self._history: tuple[Turn, ...] = ()

    def held(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of `names` that need not be sent."""
        return tuple(name for name in names if name in self._tensors)

    def latest(self, fits: Callable[[EncodedTensor], bool]) -> EncodedTensor | None:
        """The tensor sent last of those that fit; None if no such one is known (any more)."""
        return next((one for one in reversed(self._tensors.values()) if one is not None and fits(one)), None)

    def base(self, history: tuple[Turn, ...]) -> tuple[str, tuple[Turn, ...]]:
        """The turn that `history` goes on from and what was said since; ("", all of it) if there is none."""
        known = len(self._history)
        if not self._turn_id or known > len(history) or history[:known] != self._history:
            return "", history
        return self._turn_id, history[known:]

    def learn(self, turn_id: str, tensors: Mapping[str, EncodedTensor], told: tuple[Turn, ...]) -> None:
        """A turn came to its end: its tensors were received, and `told` is the conversation up to it."""
        for name, tensor in tensors.items():
            self._tensors[name] = tensor if len(tensor.payload) <= KEPT_BYTES else None
            self._tensors.move_to_end(name)
        while len(self._tensors) > TENSORS:
            self._tensors.popitem(last=False)
        self._turn_id, self._history = turn_id, told

    def forget(self) -> None:
        """The cloud says that it has forgotten."""
        self._tensors.clear()
        self._turn_id, self._history = "", ()
