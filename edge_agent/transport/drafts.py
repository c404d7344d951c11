"""DRAFT and VERDICT of EAP/1: the tokens that the device expects, and how many of them the cloud says too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_agent.transport.fields import int_of, text_of
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Welcome

REASONS = ("all", "differs", "ended", "tokenizer", "budget")


@dataclass(frozen=True, slots=True)
class Draft:
    """DRAFT: the first tokens of the answer as the device would give it. `tokenizer_id` says what the ids mean."""

    tokenizer_id: str
    ids: tuple[int, ...]

    def to_frame(self) -> Frame:
        payload = np.asarray(self.ids, dtype="<u4").tobytes()
        return Frame(FrameType.DRAFT, {"tokenizer_id": self.tokenizer_id}, payload)

    @classmethod
    def from_frame(cls, frame: Frame, limits: Limits) -> Draft:
        """Raises FrameError: no whole u32s, none at all, or more than an answer may hold."""
        size = len(frame.payload)
        if size > 4 * limits.new_tokens_per_turn:
            raise FrameError(f"a draft of {size} bytes; at most {4 * limits.new_tokens_per_turn}", code="too_large")
        if size == 0 or size % 4:
            raise FrameError(f"a draft of {size} bytes holds no whole number of tokens")
        ids = np.frombuffer(frame.payload, dtype="<u4")
        return cls(text_of(frame.meta, "tokenizer_id"), tuple(int(one) for one in ids))


@dataclass(frozen=True, slots=True)
class Drafted:
    """What came of drafting: None where nothing shall be sent; `held_ms`: the upload waited so long for it."""

    draft: Draft | None
    held_ms: float = 0.0


class Drafting(Protocol):
    """Makes the draft of one turn while its tensors travel. Nothing is asked of it before they do."""

    def begin(self, welcome: Welcome, bytes_up: int) -> bool:
        """All but the end of the upload was handed to the link; `bytes_up` are those of the tensors that travel. False
        where none is made: nothing more is asked then, and the turn is the one without drafts, byte for byte.
        """
        ...

    async def draft(self) -> Drafted:
        """What is worth sending. Waits no longer than it pays."""
        ...

    async def close(self) -> None:
        """Stop drafting. May be called at any time."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """VERDICT: of the `drafted` tokens that were looked at, the first `accepted` are those of the answer. `reason`:
    `all` are, the next one `differs`, the answer `ended` before; or none was looked at: another `tokenizer`, or no
    `budget` for it. `correction`: the token in place of the first that differs.
    """

    accepted: int
    drafted: int
    reason: str
    correction: int | None = None

    def to_frame(self) -> Frame:
        meta = {"accepted": self.accepted, "drafted": self.drafted, "reason": self.reason}
        payload = b"" if self.correction is None else self.correction.to_bytes(4, "little")
        return Frame(FrameType.VERDICT, meta, payload)

    @classmethod
    def from_frame(cls, frame: Frame, most: int) -> Verdict:
        """The verdict on a draft of `most` tokens. Raises FrameError."""
        if len(frame.payload) not in (0, 4):
            raise FrameError("a VERDICT has no u32 for a payload")
        drafted = int_of(frame.meta, "drafted", 1, most)
        accepted = int_of(frame.meta, "accepted", 0, drafted)
        correction = int.from_bytes(frame.payload, "little") if frame.payload else None
        return cls(accepted, drafted, text_of(frame.meta, "reason", ""), correction)


class Judge:
    """Compares the tokens of an answer with a draft as they come, until its verdict is known."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = ids
        self._accepted = 0

    def take(self, token: int) -> Verdict | None:
        """One more token of the answer."""
        if self._ids[self._accepted] != token:
            return Verdict(self._accepted, len(self._ids), "differs", token)
        self._accepted += 1
        return Verdict(self._accepted, self._accepted, "all") if self._accepted == len(self._ids) else None

    def end(self) -> Verdict:
        """The answer has no more tokens."""
        return Verdict(self._accepted, len(self._ids), "ended")
