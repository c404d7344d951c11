"""Session, question and error frames of EAP/1: what goes into meta and payload, and how it is checked on the way in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.errors import CloudError
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.fields import int_of, list_of, names_of, object_of, text_of
from edge_agent.transport.frames import SCHEMA, Frame, FrameError, FrameType, canonical_json, parse_json
from edge_agent.transport.limits import CODEC_CONFIG_BYTES, Limits
from edge_agent.types import Modality, Turn

_CODE = re.compile(r"[a-z0-9_]{1,32}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MICRO = 1_000_000
MAX_CREDIT = 2**31
"""Bytes; no side grants more, or counts more."""

# Codes of ERROR that a later try of the same turn may heal.
RETRYABLE = frozenset({"overloaded", "timeout", "closed", "draining", "unreachable", "internal", "forgotten"})


def uuid7(unix_ms: int) -> str:
    """A new turn id: UUIDv7 (RFC 9562), 48 bits of time and 74 random ones."""
    value = (unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@dataclass(frozen=True, slots=True)
class Hello:
    """The client's first frame: what it speaks and which device it is (the name separates idempotency keys).

    `features`: what it knows beyond 0.1.0; only what both sides name is used.
    """

    versions: tuple[int, ...] = (1,)
    codecs: tuple[str, ...] = ()
    device: str = ""
    features: tuple[str, ...] = ()

    def to_frame(self) -> Frame:
        meta: dict[str, Any] = {"versions": list(self.versions), "codecs": list(self.codecs)}
        meta |= {"device": self.device, "schema": SCHEMA}
        if self.features:
            meta["features"] = list(self.features)
        return Frame(FrameType.HELLO, meta)

    @classmethod
    def from_frame(cls, frame: Frame) -> Hello:
        meta = frame.meta
        versions = tuple(value for value in list_of(meta, "versions", 16) if type(value) is int)
        return cls(versions, names_of(meta, "codecs"), text_of(meta, "device", ""), names_of(meta, "features"))


@dataclass(frozen=True, slots=True)
class Welcome:
    """The server's answer to HELLO. Prices are micro-dollars per 1,000 tokens; `hidden_size` that of the embeddings;
    `detail_views` (rows, columns) of the tiles that it likes to have of each picture. `features` as in HELLO;
    `tokenizer_id` names what its token ids mean, empty where it checks no drafts; `resume_token` is what RESUME names
    the session by; `credit` how many bytes of tensors may be sent before the first CREDIT, None: as many as one likes.
    """

    version: int
    model: str
    codecs: tuple[str, ...]
    encoder_ids: tuple[str, ...]
    hidden_size: int
    limits: Limits = field(default_factory=Limits)
    price_prompt_microusd: int = 0
    price_completion_microusd: int = 0
    heartbeat_s: int = 15
    detail_views: tuple[int, int] | None = None
    features: tuple[str, ...] = ()
    tokenizer_id: str = ""
    resume_token: str = ""
    credit: int | None = None

    def to_frame(self) -> Frame:
        meta: dict[str, Any] = {
            "version": self.version,
            "schema": SCHEMA,
            "model": self.model,
            "codecs": list(self.codecs),
            "encoder_ids": list(self.encoder_ids),
            "hidden_size": self.hidden_size,
            "limits": self.limits.to_meta(),
            "prices": {
                "prompt_per_1k": self.price_prompt_microusd,
                "completion_per_1k": self.price_completion_microusd,
            },
            "heartbeat_s": self.heartbeat_s,
        }
        if self.detail_views is not None:
            meta["detail_views"] = {"rows": self.detail_views[0], "columns": self.detail_views[1]}
        if self.features:
            meta["features"] = list(self.features)
        if self.tokenizer_id:
            meta["tokenizer_id"] = self.tokenizer_id
        if self.resume_token:
            meta["resume_token"] = self.resume_token
        if self.credit is not None:
            meta["credit"] = self.credit
        return Frame(FrameType.WELCOME, meta)

    @classmethod
    def from_frame(cls, frame: Frame) -> Welcome:
        meta = frame.meta
        prices, detail = object_of(meta, "prices"), object_of(meta, "detail_views")
        return cls(
            version=int_of(meta, "version", 1, 255),
            model=text_of(meta, "model", ""),
            codecs=names_of(meta, "codecs"),
            encoder_ids=names_of(meta, "encoder_ids"),
            hidden_size=int_of(meta, "hidden_size", 1, Limits().hidden_size),
            limits=Limits.from_meta(object_of(meta, "limits")),
            price_prompt_microusd=int_of(prices, "prompt_per_1k", 0, 10**12, 0),
            price_completion_microusd=int_of(prices, "completion_per_1k", 0, 10**12, 0),
            heartbeat_s=int_of(meta, "heartbeat_s", 1, 3600, 15),
            detail_views=(int_of(detail, "rows", 1, 8), int_of(detail, "columns", 1, 8)) if detail else None,
            features=names_of(meta, "features"),
            tokenizer_id=text_of(meta, "tokenizer_id", ""),
            resume_token=text_of(meta, "resume_token", ""),
            credit=int_of(meta, "credit", 1, MAX_CREDIT) if "credit" in meta else None,
        )


@dataclass(frozen=True, slots=True)
class TurnOpening:
    """TURN: one question. The text travels in the payload, the rest in meta. `turn_id` is the idempotency key.

    `held` are those of the tensors that do not follow, as the session knows them. With a `base_turn` the `history` is
    only what was said since that turn. `drafts`: a DRAFT follows that is worth waiting for.
    """

    turn_id: str
    question: str
    tensors: tuple[str, ...]
    deadline_ms: int
    max_tokens: int
    max_cost_microusd: int | None = None
    history: tuple[Turn, ...] = ()
    held: tuple[str, ...] = ()
    base_turn: str = ""
    drafts: bool = False

    def to_frame(self) -> Frame:
        budget: dict[str, int] = {"deadline_ms": self.deadline_ms, "max_tokens": self.max_tokens}
        if self.max_cost_microusd is not None:
            budget["max_cost_microusd"] = self.max_cost_microusd
        messages: list[dict[str, str]] = []
        for turn in self.history:
            messages += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
        messages.append({"role": "user", "content": self.question})
        meta: dict[str, Any] = {"turn_id": self.turn_id, "tensors": list(self.tensors), "budget": budget}
        extra = {"held": list(self.held), "base_turn": self.base_turn, "drafts": self.drafts}
        meta |= {name: value for name, value in extra.items() if value}
        return Frame(FrameType.TURN, meta, canonical_json(messages))

    @classmethod
    def from_frame(cls, frame: Frame, limits: Limits) -> TurnOpening:
        meta, budget = frame.meta, object_of(frame.meta, "budget")
        turn_id = text_of(meta, "turn_id")
        if not _UUID7.fullmatch(turn_id):
            raise FrameError("a turn_id is not a lower-case UUIDv7")
        tensors = tuple(str(name) for name in list_of(meta, "tensors", limits.tensors_per_turn))
        if not all(_HEX64.fullmatch(name) for name in tensors) or len(set(tensors)) != len(tensors):
            raise FrameError("tensors are not distinct sha256 names")
        history, question = _messages(frame.payload, limits)
        cost = int_of(budget, "max_cost_microusd", 0, 10**12) if "max_cost_microusd" in budget else None
        return cls(
            turn_id=turn_id,
            question=question,
            tensors=tensors,
            deadline_ms=int_of(budget, "deadline_ms", 1, limits.deadline_ms),
            max_tokens=int_of(budget, "max_tokens", 1, limits.new_tokens_per_turn),
            max_cost_microusd=cost,
            held=_held(meta, tensors),
            base_turn=_base(meta),
            drafts=meta.get("drafts") is True,
            history=history,
        )


def _held(meta: Mapping[str, Any], tensors: tuple[str, ...]) -> tuple[str, ...]:
    held = tuple(str(name) for name in list_of(meta, "held", len(tensors)))
    if not set(held) <= set(tensors):
        raise FrameError("a turn holds tensors that it does not name")
    return held


def _base(meta: Mapping[str, Any]) -> str:
    base = text_of(meta, "base_turn", "")
    if base and not _UUID7.fullmatch(base):
        raise FrameError("a base_turn is not a lower-case UUIDv7")
    return base


@dataclass(frozen=True, slots=True)
class TensorBegin:
    """TENSOR_BEGIN: the name, form and size of what the chunks bring."""

    tensor_id: str
    codec: str
    dtype: str
    shape: tuple[int, int]
    encoder_id: str
    modality: Modality
    size_bytes: int
    config: Mapping[str, Any]

    @staticmethod
    def frame_of(tensor: EncodedTensor, tensor_id: str) -> Frame:
        meta = tensor.description() | {"tensor_id": tensor_id, "bytes": len(tensor.payload)}
        return Frame(FrameType.TENSOR_BEGIN, meta)

    @classmethod
    def from_frame(cls, frame: Frame, limits: Limits) -> TensorBegin:
        meta = frame.meta
        shape = list_of(meta, "shape", 2)
        if len(shape) != 2 or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
            raise FrameError("a tensor's shape is not [tokens, hidden]", code="bad_tensor")
        config = object_of(meta, "config")
        if len(canonical_json(config)) > CODEC_CONFIG_BYTES:
            raise FrameError(f"a codec's config exceeds {CODEC_CONFIG_BYTES} bytes", code="too_large")
        modality = text_of(meta, "modality")
        if modality not in (Modality.IMAGE.value, Modality.AUDIO.value):
            raise FrameError(f"no tensor has the modality {modality!r}", code="bad_tensor")
        return cls(
            tensor_id=text_of(meta, "tensor_id"),
            codec=text_of(meta, "codec"),
            dtype=text_of(meta, "dtype"),
            shape=(shape[0], shape[1]),
            encoder_id=text_of(meta, "encoder_id"),
            modality=Modality(modality),
            size_bytes=int_of(meta, "bytes", 1, limits.compressed_bytes_per_turn),
            config=config,
        )

    def tensor(self, payload: bytes) -> EncodedTensor:
        return EncodedTensor(self.codec, self.dtype, self.shape, payload, self.encoder_id, self.modality, self.config)


def error_frame(code: str, message: str, *, retry_after_ms: int | None = None) -> Frame:
    """ERROR of a turn (its stream) or of the session (stream 0). `message` is for people and cut to 300 characters."""
    meta: dict[str, Any] = {"code": code, "message": message[:300], "retryable": code in RETRYABLE}
    if retry_after_ms is not None:
        meta["retry_after_ms"] = retry_after_ms
    return Frame(FrameType.ERROR, meta)


def error_of(frame: Frame) -> CloudError:
    """What an ERROR frame says, as the error to raise."""
    code = text_of(frame.meta, "code", "internal")
    if not _CODE.fullmatch(code):
        raise FrameError("an ERROR has a malformed code")
    message = text_of(frame.meta, "message", "", most=512)
    wait_ms = int_of(frame.meta, "retry_after_ms", 0, 86_400_000, 0)
    hint = f"try again in {wait_ms / 1000:.1f} s" if wait_ms else ""
    printable = "".join(mark if mark.isprintable() else " " for mark in message)
    return CloudError(
        f"the cloud answered {code}: {printable}", hint, code=code, retryable=frame.meta.get("retryable") is True
    )


def _messages(payload: bytes, limits: Limits) -> tuple[tuple[Turn, ...], str]:
    if len(payload) > limits.text_bytes_per_turn:
        raise FrameError(f"a text of {len(payload)} bytes; at most {limits.text_bytes_per_turn}", code="too_large")
    messages = parse_json(payload, "the text")
    if not isinstance(messages, list) or len(messages) % 2 == 0:
        raise FrameError("the text is not an odd number of messages")
    if len(messages) // 2 > limits.history_turns:
        raise FrameError(f"{len(messages) // 2} earlier turns; at most {limits.history_turns}", code="too_large")
    texts = []
    for index, message in enumerate(messages):
        role = "user" if index % 2 == 0 else "assistant"
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str) or message.get("role") != role:
            raise FrameError(f"message {index} is not one of the {role}")
        texts.append(content)
    if not texts[-1].strip():
        raise FrameError("the question is empty", code="bad_request")
    history = tuple(Turn(texts[index], texts[index + 1]) for index in range(0, len(texts) - 1, 2))
    return history, texts[-1]
