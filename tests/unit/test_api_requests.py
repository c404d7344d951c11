"""What a chat request means here, and how each wrong one is refused: by one clear line that names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apis import asking, audio_part, image_part, picture, sound
from edge_agent.api.chat_request import FORM_TOKENS, MAX_NEW_TOKENS, ChatRequest, read_chat
from edge_agent.api.refusals import Refusal
from edge_agent.parts import Limits
from edge_agent.types import Route, Turn

LIMITS = Limits(deadline_ms=1000.0, max_cost_usd=0.01)
OBJECT = {"type": "object", "properties": {"there": {"type": "boolean"}}, "additionalProperties": False}


def read(body: Any, private: bool = False) -> ChatRequest:
    return read_chat(json.dumps(body).encode(), LIMITS, private)


def refusal(body: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return caught.value


def form(schema: Any) -> dict[str, Any]:
    named = {"name": "x", "strict": True, "schema": schema}
    return asking(response_format={"type": "json_schema", "json_schema": named})


def test_words_pictures_and_sounds_arrive_as_they_were_sent() -> None:
    chat = read(asking(image_part(picture()), audio_part(sound())))
    assert chat.asked.question == "what is in the picture?"
    assert chat.asked.shown.picture == picture()
    assert chat.asked.shown.sound is not None
    assert chat.asked.shown.sound.data == sound()
    assert (chat.route, chat.limits, chat.private, chat.stream) == (None, LIMITS, False, False)


def test_earlier_messages_become_turns_and_their_picture_is_still_the_one_that_is_asked_about() -> None:
    first, second = picture((32, 32)), picture((48, 48))
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image_part(first)]},
        {"role": "assistant", "content": "a cup"},
        {"role": "user", "content": [image_part(second), {"type": "text", "text": "and this?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a dog"}]},
        {"role": "user", "content": "which colour?"},
    ]
    chat = read({"messages": messages})
    assert chat.asked.history == (Turn("what is it?", "a cup"), Turn("and this?", "a dog"))
    assert chat.asked.question == "which colour?"
    assert chat.asked.shown.picture == second
    assert chat.unheeded == ("system",)


def test_the_device_takes_the_picture_itself_where_it_is_asked_to() -> None:
    chat = read(asking({"type": "camera"}, {"type": "microphone"}))
    assert (chat.asked.shown.camera, chat.asked.shown.microphone) == (True, True)


@pytest.mark.parametrize(
    ("given", "route"),
    [
        ({}, None),
        ({"model": "edge-agent-cloud"}, Route.CLOUD),
        ({"edge": {"prefer": "local"}}, Route.LOCAL),
        ({"model": "edge-agent-cloud", "edge": {"prefer": "auto"}}, None),
    ],
)
def test_a_route_is_named_by_the_model_or_by_edge(given: dict[str, Any], route: Route | None) -> None:
    assert read(asking(**given)).route is route


def test_a_question_may_narrow_money_and_privacy_and_never_widen_them() -> None:
    asked = {"max_cost": 5.0, "deadline_ms": 60_000, "privacy": "private"}
    chat = read(asking(edge=asked))
    assert (chat.limits.max_cost_usd, chat.limits.deadline_ms, chat.private) == (0.01, 60_000.0, True)
    assert read(asking(edge={"max_cost": 0.0})).limits.max_cost_usd == 0.0
    assert read_chat(json.dumps(asking(edge={"privacy": False})).encode(), LIMITS, True).private


def test_length_choice_and_stops_are_heeded() -> None:
    more = {"max_tokens": 9, "temperature": 0.7, "top_p": 0.9, "seed": 7, "stop": "."}
    manner = read(asking(**more)).manner
    assert (manner.max_new_tokens, manner.choice.temperature, manner.choice.seed) == (9, 0.7, 7)
    assert manner.stop == (".",)
    assert read(asking(max_completion_tokens=10**6, max_tokens=3)).manner.max_new_tokens == MAX_NEW_TOKENS
    assert read(asking()).manner.max_new_tokens is None


def test_references_in_a_schema_are_written_out() -> None:
    step = {"type": "object", "properties": {"strict": {"type": "boolean"}}}
    schema = {"type": "object", "properties": {"steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}}}}
    manner = read(form({**schema, "$defs": {"Step": step}})).manner
    assert manner.schema is not None
    assert manner.schema["properties"]["steps"]["items"] == step
    assert "$defs" not in manner.schema
    assert manner.max_new_tokens == FORM_TOKENS


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"next": {"$ref": "#"}}}, "refers to itself"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}, "refers to itself"),
        ({"$ref": "#/$defs/A"}, "not in it"),
        ({"$ref": "http://example.com/schema"}, "not in it"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "type"),
        ({"type": "string", "pattern": "a+"}, "pattern"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: Any, words: str) -> None:
    error = refusal(form(schema))
    assert (error.status, error.param, error.code) == (400, "response_format", "invalid_schema")
    assert words in str(error)


def test_a_schema_that_grows_beyond_measure_is_refused_early() -> None:
    schema: Any = {"type": "boolean"}
    for _ in range(30):
        schema = {"type": "object", "properties": {"a": schema, "b": {"type": "boolean"}}}
    assert "at most 8 levels" in str(refusal(form(schema)))
    defs = {
        f"L{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/L{n + 1}"} for k in "abcdefgh"}}
        for n in range(8)
    }
    defs["L8"] = {"type": "boolean"}
    assert "too deep or too large" in str(refusal(form({"$ref": "#/$defs/L0", "$defs": defs})))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 9}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 3}, "stream_options"),
        ({"edge": []}, None),
        ({"edge": [1]}, "edge"),
        ({"edge": {"prefer": "moon"}}, "edge.prefer"),
        ({"edge": {"deadline_ms": 0}}, "edge.deadline_ms"),
        ({"edge": {"privacy": "no"}}, "edge.privacy"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "messages"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], param: str | None) -> None:
    body = asking(**change)
    if param is None:  # empty is as good as none
        read(body)
        return
    error = refusal(body)
    assert (error.status, error.param) == (400, param)


def part(**fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": fields}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([part(url="https://example.com/cat.jpg")], "not fetched"),
        ([part(url="file:///etc/passwd")], "not fetched"),
        ([part(url="data:image/png,abc")], "base64"),
        ([part(url="data:image/png;base64,###")], "not base64"),
        ([part(url="data:image/png;base64,")], "is empty"),
        ([part()], "url"),
        ([{"type": "image_url"}], "url"),
        ([{"type": "video_url"}], "video_url"),
        ([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "exe"}}], "format"),
        ([{"type": "input_audio"}], "no object"),
        ([{"type": "camera"}, {"type": "camera"}], "second picture"),
        ([{"type": "microphone"}, {"type": "microphone"}], "second sound"),
        (["text"], "no part"),
        ([{"type": "text"}], "no text"),
    ],
)
def test_a_part_that_is_none_is_refused_by_its_place(parts: list[Any], words: str) -> None:
    error = refusal(asking(*parts))
    assert error.status == 400
    assert words in str(error)
    assert (error.param or "").startswith("messages[0].content[")


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    for model in ("gpt-4o", 3, ["edge-agent"]):
        error = refusal(asking(model=model))
        assert (error.status, error.code) == (404, "model_not_found")
        assert "edge-agent-local" in str(error)


def test_an_unknown_wish_is_answered_with_the_nearest() -> None:
    assert "did you mean 'prefer'?" in str(refusal(asking(edge={"prefr": "local"})))
    assert "known: prefer, deadline_ms" in str(refusal(asking(edge={"nope": 1})))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read_chat(body, LIMITS, False)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")
