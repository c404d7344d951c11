"""What one session may refer to instead of sending it again: tensors and conversations, bounded, for nobody else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import replace

from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.frames import FrameError
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import TurnOpening
from edge_agent.types import Turn

TENSORS = 32
TENSOR_BYTES = 4 << 20
CONVERSATIONS = 32
CONVERSATION_CHARS = 256 << 10


class SessionMemory:
    """The tensors and conversations used last, within the bounds above. What falls out is forgotten for good."""

    def __init__(self) -> None:
        self._tensors: OrderedDict[str, EncodedTensor] = OrderedDict()
        self._tensor_bytes = 0
        self._histories: OrderedDict[str, tuple[Turn, ...]] = OrderedDict()
        self._chars = 0

    def keep_tensors(self, names: Sequence[str], tensors: Sequence[EncodedTensor]) -> None:
        """Remember them under their names as the ones used last."""
        for name, tensor in zip(names, tensors, strict=True):
            if name not in self._tensors:
                self._tensor_bytes += len(tensor.payload)
            self._tensors[name] = tensor
            self._tensors.move_to_end(name)
        while len(self._tensors) > TENSORS or self._tensor_bytes > TENSOR_BYTES:
            _, oldest = self._tensors.popitem(last=False)
            self._tensor_bytes -= len(oldest.payload)

    def tensor(self, name: str) -> EncodedTensor | None:
        """The tensor of that name, used now; None if it is not known (any more)."""
        if name in self._tensors:
            self._tensors.move_to_end(name)
        return self._tensors.get(name)

    def base(self, beginning: str) -> EncodedTensor:
        """The tensor used last whose name begins so. Raises CloudError `forgotten` if none is known (any more)."""
        for name in reversed(self._tensors):
            if name.startswith(beginning):
                return self._tensors[name]
        raise CloudError("what a change was made of was forgotten: send it whole", code="forgotten")

    def keep_history(self, turn_id: str, history: tuple[Turn, ...]) -> None:
        """Remember what was said up to and with the turn `turn_id`."""
        self._chars += _chars(history) - _chars(self._histories.pop(turn_id, ()))
        self._histories[turn_id] = history
        while len(self._histories) > CONVERSATIONS or self._chars > CONVERSATION_CHARS:
            _, oldest = self._histories.popitem(last=False)
            self._chars -= _chars(oldest)

    def history(self, turn_id: str) -> tuple[Turn, ...] | None:
        """What was said up to and with that turn; None if it is not known (any more)."""
        if turn_id in self._histories:
            self._histories.move_to_end(turn_id)
        return self._histories.get(turn_id)

    def whole(self, opening: TurnOpening, spoken: Collection[str], limits: Limits) -> TurnOpening:
        """The turn with the conversation that it builds on. Raises CloudError, `forgotten` if that is not known."""
        if not opening.base_turn:
            return opening
        if features.BASE not in spoken:
            raise FrameError("base_turn was not agreed upon")
        before = self.history(opening.base_turn)
        if before is None:
            raise CloudError("the conversation was forgotten: send it again", code="forgotten")
        history = before + opening.history
        if len(history) > limits.history_turns:
            raise CloudError(f"{len(history)} earlier turns are too many", code="bad_request", retryable=False)
        return replace(opening, history=history, base_turn="")

    def fill(self, assembly: TensorAssembly, opening: TurnOpening, spoken: Collection[str]) -> None:
        """Give the tensors of a turn that are known. Raises CloudError `forgotten` if one is not that should be."""
        if features.HAVE in spoken:
            for name in opening.tensors:
                if (tensor := self.tensor(name)) is not None:
                    assembly.provide(name, tensor)
        elif opening.held:
            raise FrameError("held was not agreed upon")
        if not all(map(assembly.has, opening.held)):
            raise CloudError("a tensor was forgotten: send it again", code="forgotten")


def _chars(history: tuple[Turn, ...]) -> int:
    return sum(len(turn.question) + len(turn.answer) for turn in history)
