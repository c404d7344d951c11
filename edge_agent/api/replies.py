"""Answers in the shapes that OpenAI's clients read: a completion, its chunks, its usage; and our facts beside them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from edge_agent.api.chat_request import ChatRequest
from edge_agent.api.spoken import spoken_text
from edge_agent.types import Answer
from edge_agent.values import plain

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
ROUTE_HEADER = "x-edge-route"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its name, when it began (seconds since 1970) and what it replies to."""

    request: ChatRequest
    created: int
    fingerprint: str
    name: str

    @classmethod
    def begin(cls, request: ChatRequest, wall_s: float, fingerprint: str) -> Reply:
        return cls(request, int(wall_s), fingerprint, f"chatcmpl-{secrets.token_hex(12)}")

    def completion(self, answer: Answer, about: str) -> dict[str, Any]:
        """The whole answer as one object."""
        text = spoken_text(answer, self.request.manner.stop)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        ended = finish_reason(answer, self.request, text)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": ended}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage_of(answer),
            "edge": edge_of(answer, self.request, about),
        }

    def chunk(self, delta: dict[str, Any], ended: str | None = None, **more: Any) -> bytes:
        """One chunk of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
        usage = {"usage": None} if self.request.include_usage else {}
        return event({**self._head("chat.completion.chunk"), "choices": [choice], **usage, **more})

    def usage_chunk(self, answer: Answer) -> bytes:
        """The last chunk of a stream whose client asked for it: no choices, the whole usage."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage_of(answer)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.name,
            "object": kind,
            "created": self.created,
            "model": self.request.model,
            "service_tier": None,
            "system_fingerprint": self.fingerprint,
        }


def event(body: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, allow_nan=False).encode() + b"\n\n"


def provisional_event(text: str) -> bytes:
    """An event of our own that is no chunk of the answer: its words may turn out to be others. A client that takes it
    for a chunk all the same finds no choices in it.
    """
    return b"event: provisional\n" + event({"object": "edge.provisional", "choices": [], "provisional": text})


def finish_reason(answer: Answer, request: ChatRequest, text: str) -> str:
    """`length` where the answer was cut by its number of tokens, else `stop`. JSON of a schema is whole even then: it
    says `stop`, and `edge.cut` says the rest.
    """
    return "length" if answer.finish_reason == "length" and text == answer.text and not _formed(request) else "stop"


def _formed(request: ChatRequest) -> bool:
    return request.manner.schema is not None


def usage_of(answer: Answer) -> dict[str, Any]:
    """Tokens of whichever model answered."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": answer.prompt_tokens + answer.tokens,
    }


def edge_of(answer: Answer, request: ChatRequest, about: str) -> dict[str, Any]:
    """What only this device can say. `about`: what the question was about, in words."""
    total_ms = answer.timings_ms.get("total", 0.0)
    made: dict[str, Any] = plain(
        {
            "route": answer.route,
            "reason": answer.reason,
            "policy": answer.decision.policy,
            "guards": answer.decision.guards,
            "about": about,
            "confidence": answer.confidence,
            "expected_gain": answer.expected_gain,
            "bytes_up": answer.bytes_up,
            "bytes_down": answer.bytes_down,
            "cost_usd": answer.cost_usd,
            "deadline_met": total_ms <= request.limits.deadline_ms,
            "timings_ms": answer.timings_ms,
            "cut": answer.finish_reason == "length",
            "unheeded": unheeded_of(answer, request),
        }
    )
    return made


def unheeded_of(answer: Answer, request: ChatRequest) -> tuple[str, ...]:
    """Fields of the request that had no effect on this answer."""
    drawn = request.manner.choice.temperature > 0
    return request.unheeded + ("temperature",) * (drawn and answer.route.value != "local")
