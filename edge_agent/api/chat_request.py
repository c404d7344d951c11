"""One `POST /v1/chat/completions` as this device reads it: each field is heeded, refused, or named as unheeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.api.fields import flag_of, number_of, parse_object, whole_of
from edge_agent.api.messages import Asked, asked_of
from edge_agent.api.refusals import Refusal, bad
from edge_agent.api.schemas import schema_of
from edge_agent.config import nearest
from edge_agent.engines.base import Manner
from edge_agent.parts import Limits
from edge_agent.types import Route
from edge_agent.vlm.choice import MAX_TEMPERATURE, Choice
from edge_agent.vlm.words import MAX_STOP_CHARS, MAX_STOPS

MODEL = "edge-agent"
MODELS: dict[str, Route | None] = {MODEL: None, f"{MODEL}-local": Route.LOCAL, f"{MODEL}-cloud": Route.CLOUD}
PREFER: dict[str, Route | None] = {"auto": None, "local": Route.LOCAL, "cloud": Route.CLOUD}
MAX_NEW_TOKENS = 512
FORM_TOKENS = 128  # of an answer in a form, unless the request says: forms are longer
MAX_DEADLINE_MS = 3_600_000.0
WANTING = ("tools", "functions", "logprobs", "audio", "prediction", "modalities")  # they would change what comes back
UNHEEDED = ("frequency_penalty", "presence_penalty", "logit_bias", "reasoning_effort", "verbosity")
EDGE_KEYS = ("prefer", "deadline_ms", "max_cost", "privacy", "provisional")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. `unheeded`: fields that were given and have no effect here. `provisional`: words that are not
    checked yet may be told, as such.
    """

    model: str
    asked: Asked
    limits: Limits
    private: bool
    route: Route | None
    manner: Manner
    stream: bool
    include_usage: bool
    unheeded: tuple[str, ...]
    provisional: bool = False


def read_chat(body: bytes, limits: Limits, private: bool) -> ChatRequest:
    """A request within the device's own `limits`, which it can narrow in money and privacy. Raises Refusal."""
    fields = parse_object(body)
    model = fields.get("model", MODEL)
    if not isinstance(model, str) or model not in MODELS:
        words = f"there is no model {str(model)[:60]!r} here"
        raise Refusal(404, words, f"one of {', '.join(MODELS)}", param="model", code="model_not_found")
    _refuse_wanting(fields)
    asked = asked_of(fields.get("messages"))
    edge = fields.get("edge") or {}
    if not isinstance(edge, Mapping):
        raise bad("edge is no object", f"its keys are {', '.join(EDGE_KEYS)}", "edge")
    for key in edge:
        if key not in EDGE_KEYS:
            raise bad(f"edge has no key {str(key)[:40]!r}", nearest(str(key), EDGE_KEYS), f"edge.{str(key)[:40]}")
    stream_options = fields.get("stream_options") or {}
    if not isinstance(stream_options, Mapping):
        raise bad("stream_options is no object", "leave it out", "stream_options")
    unheeded = tuple(key for key in UNHEEDED if fields.get(key)) + ("system",) * asked.unheeded
    return ChatRequest(
        model=model,
        asked=asked,
        limits=_limits(edge, limits),
        private=private or _private(edge),
        route=_route(edge, MODELS[model]),
        manner=_manner(fields),
        stream=flag_of(fields, "stream"),
        include_usage=flag_of(stream_options, "include_usage", "stream_options"),
        unheeded=unheeded,
        provisional=flag_of(edge, "provisional", "edge"),
    )


def _refuse_wanting(fields: Mapping[str, Any]) -> None:
    if fields.get("n") not in (None, 1):
        raise bad("n is not 1", "there is one answer to a question", "n")
    for key in WANTING:
        given = fields.get(key)
        if given and not (key == "modalities" and given == ["text"]):
            raise bad(f"{key} is not supported", "leave it out", key, "unsupported_parameter")


def _manner(fields: Mapping[str, Any]) -> Manner:
    schema = schema_of(fields.get("response_format"))
    most = whole_of(fields, "max_completion_tokens", 1, 1 << 31)
    most = whole_of(fields, "max_tokens", 1, 1 << 31) if most is None else most
    if most is None:
        most = None if schema is None else FORM_TOKENS
    seed = fields.get("seed")
    if seed is not None and type(seed) is not int:
        raise bad(f"seed is {str(seed)[:40]}", "give a whole number", "seed")
    choice = Choice(
        temperature=number_of(fields, "temperature", 0.0, min(2.0, MAX_TEMPERATURE), 0.0),
        top_p=max(1e-6, number_of(fields, "top_p", 0.0, 1.0, 1.0)),
        seed=abs(seed or 0),
    )
    return Manner(None if most is None else min(most, MAX_NEW_TOKENS), choice, _stops(fields.get("stop")), schema)


def _stops(stop: Any) -> tuple[str, ...]:
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    fine = isinstance(stops, list) and len(stops) <= MAX_STOPS
    if not fine or not all(isinstance(one, str) and 0 < len(one) <= MAX_STOP_CHARS for one in stops):
        hint = f"a text, or at most {MAX_STOPS}, of 1 to {MAX_STOP_CHARS} characters"
        raise bad("stop is no text or list of texts", hint, "stop")
    return tuple(stops)


def _limits(edge: Mapping[str, Any], limits: Limits) -> Limits:
    """A question may take longer than usual where it says so; it never may cost more than the device allows."""
    return Limits(
        number_of(edge, "deadline_ms", 1.0, MAX_DEADLINE_MS, limits.deadline_ms, "edge"),
        min(limits.max_cost_usd, number_of(edge, "max_cost", 0.0, 100.0, limits.max_cost_usd, "edge")),
    )


def _private(edge: Mapping[str, Any]) -> bool:
    value = edge.get("privacy")
    if value not in (None, True, False, "private", "default"):
        raise bad(f"edge.privacy is {str(value)[:40]!r}", "private or default", "edge.privacy")
    return value is True or value == "private"


def _route(edge: Mapping[str, Any], named: Route | None) -> Route | None:
    prefer = edge.get("prefer")
    if prefer is None:
        return named
    if not isinstance(prefer, str) or prefer not in PREFER:
        raise bad(f"edge.prefer is {str(prefer)[:40]!r}", f"one of {', '.join(PREFER)}", "edge.prefer")
    return PREFER[prefer]
