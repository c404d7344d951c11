"""`response_format` of a request as a schema that the decoder can follow: references written out, recursion refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_agent.api.refusals import bad
from edge_agent.errors import UsageError
from edge_agent.vlm.schema import MAX_DEPTH, automaton_of

MAX_PARTS = 2000  # of a schema, once its references are written out
WHERE = "response_format"
_VALUES = frozenset({"enum", "const", "default", "examples", "required"})  # of which nothing is a schema
_DROPPED = frozenset({"$defs", "definitions", "strict"})


def schema_of(response_format: Any) -> Mapping[str, Any] | None:
    """The schema of `{"type": "json_schema", "json_schema": {"schema": ...}}`; None where any text will do.

    Raises Refusal for anything that the decoder cannot be held to.
    """
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "text":
        return None
    if kind != "json_schema":
        raise bad(f"{WHERE} of the type {str(kind)[:40]!r}", "text or json_schema", WHERE)
    named = response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        raise bad(f"{WHERE} has no json_schema.schema", "give a JSON schema", WHERE)
    plain = _Writer(schema).written(schema, (), 0)
    try:
        automaton_of(plain)
    except UsageError as error:
        raise bad(error.message, error.hint, WHERE, "invalid_schema") from error
    made: Mapping[str, Any] = plain
    return made


class _Writer:
    """Puts what `$ref` names in its place."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._parts = 0

    def written(self, part: Any, inside: tuple[str, ...], depth: int) -> Any:
        self._parts += 1
        if depth > 4 * MAX_DEPTH or self._parts > MAX_PARTS:
            raise bad("the schema is too deep or too large", "ask for less at once", WHERE, "invalid_schema")
        if isinstance(part, list):
            return [self.written(one, inside, depth + 1) for one in part]
        if not isinstance(part, Mapping):
            return part
        if "$ref" in part:
            name = part["$ref"]
            if name in inside:
                raise bad(f"the schema refers to itself by {name!r:.80}", "write it out", WHERE, "invalid_schema")
            beside = {key: value for key, value in part.items() if key in ("title", "description")}
            return {**self.written(self._named(name), (*inside, name), depth + 1), **beside}
        made = {}
        for key, value in part.items():
            if key in _VALUES:
                made[key] = value
            elif key == "properties" and isinstance(value, Mapping):
                made[key] = {name: self.written(one, inside, depth + 1) for name, one in value.items()}
            elif key not in _DROPPED:
                made[key] = self.written(value, inside, depth + 1)
        return made

    def _named(self, name: Any) -> Mapping[str, Any]:
        at: Any = self._root
        parts = name.split("/") if isinstance(name, str) else [""]
        for step in parts[1:] if parts[0] == "#" else [""]:
            at = at.get(step) if isinstance(at, Mapping) else None
        if not isinstance(at, Mapping):
            raise bad(f"the schema refers to {name!r:.80}, which is not in it", "write it out", WHERE, "invalid_schema")
        return at
