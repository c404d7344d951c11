"""The frames of an answer, TOKENS, USAGE and DONE: their content, and how it is checked on the way in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.transport.fields import int_of, number_of, object_of, text_of
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.types import TokenEvent

_TOKEN = struct.Struct("<IffH")  # id u32, probability f32, entropy f32, bytes of UTF-8 text u16

# Answers are shown on terminals, which C0 and C1 controls would command. Line ends and tabs part words.
_CONTROLS: dict[int, str | None] = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))
_CONTROLS |= {ord("\n"): " ", ord("\t"): " "}


def tokens_frame(first: int, events: Sequence[TokenEvent]) -> Frame:
    """TOKENS: consecutive tokens, the first at position `first` of the answer."""
    parts = bytearray()
    for event in events:
        text = event.text.encode("utf-8", "replace")[:0xFFFF]
        parts += _TOKEN.pack(event.token_id, event.probability, event.entropy, len(text)) + text
    return Frame(FrameType.TOKENS, {"first": first, "n": len(events)}, bytes(parts))


def tokens_of(frame: Frame, expected_first: int, limits: Limits) -> list[TokenEvent]:
    """The tokens of a TOKENS frame, their text without control characters.

    Raises FrameError on a gap, too many tokens or a malformed payload.
    """
    first = int_of(frame.meta, "first", 0, limits.new_tokens_per_turn)
    count = int_of(frame.meta, "n", 1, limits.new_tokens_per_turn)
    if first != expected_first or first + count > limits.new_tokens_per_turn:
        raise FrameError(f"tokens {first} to {first + count} came where {expected_first} was next")
    events, offset, data = [], 0, frame.payload
    for _ in range(count):
        if offset + _TOKEN.size > len(data):
            raise FrameError("a TOKENS payload is cut short")
        token_id, probability, entropy, size = _TOKEN.unpack_from(data, offset)
        offset += _TOKEN.size + size
        if offset > len(data) or not (0.0 <= probability <= 1.0 and 0.0 <= entropy <= 1.0):
            raise FrameError("a TOKENS payload holds a broken token")
        events.append(TokenEvent(token_id, _text(data[offset - size : offset]), probability, entropy))
    if offset != len(data):
        raise FrameError("a TOKENS payload has bytes left over")
    return events


def said(events: Sequence[TokenEvent]) -> str:
    """The words of an answer, as both sides keep them for the turns that follow."""
    return "".join(event.text for event in events).translate(_CONTROLS).strip()


@dataclass(frozen=True, slots=True)
class Usage:
    """USAGE: what the turn took. Times are the server's, in ms; `replayed` marks a stored result, billed before. Of
    `drafted` tokens that were checked, `accepted` are in the answer: they are paid for as prompt, see docs/protocol.md.
    """

    prompt_tokens: int
    completion_tokens: int
    cost_microusd: int
    queue_ms: float = 0.0
    first_token_ms: float = 0.0
    decode_ms: float = 0.0
    replayed: bool = False
    drafted: int = 0
    accepted: int = 0

    def to_frame(self) -> Frame:
        timings = {"queue": self.queue_ms, "first_token": self.first_token_ms, "decode": self.decode_ms}
        meta: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": 0,
            "cost_microusd": self.cost_microusd,
            "timings_ms": {name: round(value, 3) for name, value in timings.items()},
            "replayed": self.replayed,
        }
        if self.drafted:
            meta |= {"drafted_tokens": self.drafted, "accepted_tokens": self.accepted}
        return Frame(FrameType.USAGE, meta)

    @classmethod
    def from_frame(cls, frame: Frame) -> Usage:
        meta, timings = frame.meta, object_of(frame.meta, "timings_ms")
        return cls(
            prompt_tokens=int_of(meta, "prompt_tokens", 0, 10**9),
            completion_tokens=int_of(meta, "completion_tokens", 0, 10**9),
            cost_microusd=int_of(meta, "cost_microusd", 0, 10**12),
            queue_ms=number_of(timings, "queue", 0.0, 1e9, 0.0),
            first_token_ms=number_of(timings, "first_token", 0.0, 1e9, 0.0),
            decode_ms=number_of(timings, "decode", 0.0, 1e9, 0.0),
            replayed=meta.get("replayed") is True,
            drafted=int_of(meta, "drafted_tokens", 0, 10**6, 0),
            accepted=int_of(meta, "accepted_tokens", 0, 10**6, 0),
        )


@dataclass(frozen=True, slots=True)
class Done:
    """DONE: the end of a turn. `confidence` is calibrated, 0..1; `max_entropy` normalised by log |V|, 0..1."""

    tokens: int
    finish_reason: str
    confidence: float
    max_entropy: float

    def to_frame(self) -> Frame:
        meta = {
            "tokens": self.tokens,
            "finish_reason": self.finish_reason,
            "confidence": self.confidence,
            "max_entropy": self.max_entropy,
        }
        return Frame(FrameType.DONE, meta)

    @classmethod
    def from_frame(cls, frame: Frame) -> Done:
        meta = frame.meta
        return cls(
            tokens=int_of(meta, "tokens", 0, 10**6),
            finish_reason=text_of(meta, "finish_reason", "stop"),
            confidence=number_of(meta, "confidence", 0.0, 1.0),
            max_entropy=number_of(meta, "max_entropy", 0.0, 1.0),
        )


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8").translate(_CONTROLS)
    except UnicodeDecodeError as error:
        raise FrameError("a token's text is not UTF-8") from error
