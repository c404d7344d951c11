"""JSON by constrained decoding: whatever the weights say, the text is JSON of the schema that was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import UsageError
from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle
from edge_agent.vlm.choice import Choice, Picker
from edge_agent.vlm.guided import Vocabulary, json_guide
from edge_agent.vlm.prompt import load_tokenizer
from edge_agent.vlm.schema import automaton_of
from edge_agent.vlm.selftest import picture

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-smolvlm"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "color": {"enum": ["red", "green", "Dark Blue"]},
        "count": {"type": "integer"},
        "there": {"type": "boolean"},
        "what": {"type": "string", "maxLength": 40},
        "parts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
    },
}


def holds(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is what a schema of our subset asks for."""
    if "enum" in schema:
        return any(value == one and type(value) is type(one) for one in schema["enum"])
    kinds = {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}
    kind = schema["type"]
    if kind in ("integer", "number"):
        return type(value) is int or (kind == "number" and type(value) is float)
    if type(value) is not kinds[kind]:
        return False
    if kind == "object":
        names = list(schema["properties"])
        needed = schema.get("required", names)
        in_order = [name for name in names if name in value] == list(value)
        inner = all(holds(schema["properties"][name], one) for name, one in value.items())
        return in_order and inner and set(needed) <= set(value)
    low, high = ("minItems", "maxItems") if kind == "array" else ("minLength", "maxLength")
    sized = kind in ("boolean", "null") or schema.get(low, 0) <= len(value) <= schema.get(high, 10**9)
    return sized and (kind != "array" or all(holds(schema["items"], one) for one in value))


LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 1, "maxLength": 5},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["a", "ab", "b c", 3, True]},
    ]
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(st.sampled_from(["x", "Y z", "grün", 'q"']), inner, max_size=3)
    return st.builds(
        lambda p, all_of: {"type": "object", "properties": p} | ({} if all_of else {"required": list(p)[:1]}),
        properties,
        st.booleans(),
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        objects(inner)
        | st.builds(
            lambda i, low: {"type": "array", "items": i, "minItems": low, "maxItems": 2}, inner, st.integers(0, 2)
        )
        | st.builds(lambda i: {"type": "array", "items": i}, inner)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module", params=["words", "bytes"])
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    """Of our own tokenizer (whole words), and of one that writes bytes."""
    folder = find_bundle("edge-vqa") if request.param == "words" else TINY
    return Vocabulary(load_tokenizer(folder / "tokenizer.json"))


def written(schema: dict[str, Any], vocabulary: Vocabulary, seed: int, limit: int) -> str:
    """What a model that says anything would write, with the shortest end after `limit` tokens."""
    guide, random = json_guide(schema, vocabulary, (3,)), np.random.default_rng(seed)
    picker, text = Picker(Choice(1.0, seed=seed)), guide.forced()
    for _ in range(limit):
        logits = None if guide.done else guide.allow(random.normal(size=vocabulary.size).astype(np.float32))
        token = 3 if logits is None else picker.pick(logits)
        if token == 3:
            break
        text += guide.add(token) + guide.forced()
    return text + guide.close()


@settings(max_examples=40, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 99), limit=st.integers(0, 12))
def test_whatever_is_drawn_is_json_of_the_schema(
    vocabulary: Vocabulary, schema: dict[str, Any], seed: int, limit: int
) -> None:
    text = written(schema, vocabulary, seed, limit)
    assert holds(schema, json.loads(text)), text


@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
@settings(max_examples=100, deadline=None)
def test_every_text_can_be_said(value: str) -> None:
    automaton = automaton_of({"type": "string"})
    assert automaton.accepts(automaton.run(automaton.start, json.dumps(value, ensure_ascii=False).encode()))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, ["0", "-7", "120"], ["007", "1.5", "--1", "", "+1"]),
        ({"type": "number"}, ["0", "-0.5", "12.25"], ["1.", ".5", "1e5", "01.5"]),
        ({"type": "boolean"}, ["true", "false"], ["True", "1", "tru"]),
        ({"const": {"a": [1, None]}}, ['{"a":[1,null]}'], ['{"a":[1, null]}', "{}"]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
         ["[1]", "[1,2]"], ["[]", "[1,2,3]", "[1,]"]),
        ({"type": "array", "items": {"type": "null"}}, ["[]", "[null]", "[null,null,null]"], ["[,null]", "[null"]),
        ({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"]},
         ['{"b":null}', '{"a":null,"b":null}'], ["{}", '{"a":null}', '{"b":null,"a":null}', '{,"b":null}']),
        ({"type": "object", "properties": {}}, ["{}"], ["{,}", '{"a":1}']),
    ],
)  # fmt: skip
def test_what_a_schema_allows(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    automaton = automaton_of(schema)
    for text in good:
        assert automaton.accepts(automaton.run(automaton.start, text.encode())), text
    for text in bad:
        assert not automaton.accepts(automaton.run(automaton.start, text.encode())), text


@pytest.mark.parametrize(
    "raw", [b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf5\x80\x80\x80"', b'"\x80"', b'"\n"', b'"\xe2\x82"']
)
def test_bytes_that_are_no_text_are_never_written(raw: bytes) -> None:
    automaton = automaton_of({"type": "string"})
    assert not automaton.accepts(automaton.run(automaton.start, raw))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "has the type None"),
        ({"type": "date"}, "has the type 'date'"),
        ({"type": ["string", "null"]}, "has the type"),
        ({"type": "string", "pattern": "a+"}, "'pattern', which is not known"),
        ({"type": "integer", "minimum": 3}, "'minimum', which is not known"),
        ({"type": "object", "properties": {"a": {"type": "tuple"}}}, r"schema\.a has the type 'tuple'"),
        ({"type": "array"}, r"schema\.items is no schema"),
        ({"type": "string", "maxLength": 65}, "maxLength 65"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "in order"),
        ({"enum": []}, "no list of 1 to 1000"),
        ({"enum": [float("nan")]}, "no JSON value"),
        ("string", "is no schema"),
    ],
)
def test_what_cannot_be_followed_is_refused_and_not_ignored(schema: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        automaton_of(schema)


def test_a_schema_that_would_grow_without_end_is_refused() -> None:
    deep: dict[str, Any] = {"type": "string", "maxLength": 64}
    for _ in range(3):
        deep = {"type": "array", "items": deep, "maxItems": 64}
    with pytest.raises(UsageError, match="too large"):
        automaton_of(deep)


@pytest.fixture(scope="module")
def seen() -> tuple[Bundle, list[Embeddings]]:
    bundle = Bundle.open(find_bundle("edge-vqa"))
    return bundle, [VisionEncoder(bundle).encode(picture())]


@pytest.mark.parametrize("limit", [1, 4, 64])
def test_the_shipped_model_answers_in_the_form_asked_for(seen: tuple[Bundle, list[Embeddings]], limit: int) -> None:
    bundle, embeddings = seen
    events = list(Generator(bundle).stream(embeddings, "what color is the shape?", schema=SCHEMA, max_new_tokens=limit))
    assert holds(SCHEMA, json.loads("".join(event.text for event in events)))
    assert len(events) <= limit + 1
    assert all(0 <= event.probability <= 1 and 0 <= event.entropy <= 1 for event in events)


def test_the_form_leaves_the_choice_to_the_model(seen: tuple[Bundle, list[Embeddings]]) -> None:
    bundle, embeddings = seen
    generator = Generator(bundle)
    said = "".join(event.text for event in generator.stream(embeddings, "is there a dog in the picture?"))
    yes_or_no = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}}
    form = "".join(
        event.text for event in generator.stream(embeddings, "is there a dog in the picture?", schema=yes_or_no)
    )
    assert said in ("yes", "no")
    assert json.loads(form)["answer"] in ("yes", "no")
