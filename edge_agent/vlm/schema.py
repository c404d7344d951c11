"""A subset of JSON Schema as an automaton: the answer can be nothing but JSON of that form, written without spaces.

Known: `type` object (`properties`, all of them in their order; those outside `required`, where it is given, may be left
out), array (`items`, `minItems`, `maxItems`), string (`minLength`, `maxLength`), integer, number, boolean, null; `enum`
and `const` of any JSON values. Any other keyword that restricts is refused rather than ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.errors import UsageError
from edge_agent.vlm.automaton import Automaton, Network

MAX_DEPTH = 8
MAX_REPEATS = 64
MAX_DIGITS = 15
_SILENT = frozenset({"title", "description", "default", "examples", "$schema", "additionalProperties", "type"})
_KNOWN = {
    "object": {"properties", "required"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "integer": set[str](),
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}
_DIGITS = frozenset(b"0123456789")
_PLAIN = frozenset(range(0x20, 0x80)) - frozenset(b'"\\\x7f')
_TAIL = (0x80, 0xC0)
_WIDE = (  # bytes of a character beyond ASCII, as ranges: no overlong form, no surrogate (Unicode 15, table 3-7)
    ((0xC2, 0xE0), _TAIL),
    ((0xE0, 0xE1), (0xA0, 0xC0), _TAIL),
    ((0xE1, 0xED), _TAIL, _TAIL),
    ((0xED, 0xEE), (0x80, 0xA0), _TAIL),
    ((0xEE, 0xF0), _TAIL, _TAIL),
    ((0xF0, 0xF1), (0x90, 0xC0), _TAIL, _TAIL),
    ((0xF1, 0xF4), _TAIL, _TAIL, _TAIL),
    ((0xF4, 0xF5), (0x80, 0x90), _TAIL, _TAIL),
)
Part = tuple[int, int]


def automaton_of(schema: Mapping[str, Any]) -> Automaton:
    """The automaton of all JSON texts that `schema` allows. Raises UsageError naming what it cannot do."""
    maker = _Maker()
    try:
        first, last = maker.value(schema, "schema", 0)
    except ValueError as error:
        raise UsageError(f"the schema is too large: {error}", "ask for less at once") from error
    return Automaton(maker.network, first, last)


class _Maker:
    """Turns one schema into fragments of one network."""

    def __init__(self) -> None:
        self.network = Network()

    def value(self, schema: object, where: str, depth: int) -> Part:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            raise UsageError(f"{where} is no schema of at most {MAX_DEPTH} levels", "give a JSON object")
        if "enum" in schema or "const" in schema:
            return self._values(schema, where)
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _KNOWN:
            raise UsageError(f"{where} has the type {kind!r}", f"known: {', '.join(_KNOWN)}, enum, const")
        unknown = set(schema) - _SILENT - _KNOWN[kind]
        if unknown:
            raise UsageError(f"{where} has {sorted(unknown)[0]!r}, which is not known here", "leave it out")
        makers: dict[str, Callable[[], Part]] = {
            "object": lambda: self._object(schema, where, depth),
            "array": lambda: self._array(schema, where, depth),
            "string": lambda: self._string(*_bounds(schema, "minLength", "maxLength", where)),
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda: self.network.either([self.network.literal(b"true"), self.network.literal(b"false")]),
            "null": lambda: self.network.literal(b"null"),
        }
        return makers[kind]()

    def _values(self, schema: Mapping[str, Any], where: str) -> Part:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not isinstance(values, list) or not 0 < len(values) <= 1000:
            raise UsageError(f"{where}.enum is no list of 1 to 1000 values", "list what may be answered")
        return self.network.either([self.network.literal(_json(value)) for value in values])

    def _object(self, schema: Mapping[str, Any], where: str, depth: int) -> Part:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping) or len(properties) > MAX_REPEATS:
            raise UsageError(f"{where}.properties is no object of at most {MAX_REPEATS}", "name what is wanted")
        wanted = schema.get("required", list(properties))
        net = self.network
        empty, started = net.node(), net.node()  # nothing was written yet; something was
        first, last = net.literal(b"{")
        net.free[last].append(empty)
        for name, inner in properties.items():
            key = _json(str(name)) + b":"
            after_empty, after_started = net.node(), net.node()
            for before, sign in ((empty, b""), (started, b",")):
                begin, end = net.chain([net.literal(sign + key), self.value(inner, f"{where}.{name}", depth + 1)])
                net.free[before].append(begin)
                net.free[end].append(after_started)
            if name not in wanted:
                net.free[empty].append(after_empty)
                net.free[started].append(after_started)
            empty, started = after_empty, after_started
        begin, end = net.literal(b"}")
        net.free[empty].append(begin)
        net.free[started].append(begin)
        return first, end

    def _array(self, schema: Mapping[str, Any], where: str, depth: int) -> Part:
        least, most = _bounds(schema, "minItems", "maxItems", where)
        net = self.network

        def item(sign: bytes) -> Part:
            return net.chain([net.literal(sign), self.value(schema.get("items"), f"{where}.items", depth + 1)])

        parts = [item(b"," if index else b"") for index in range(least)]
        if most is None:
            more = net.many(item(b","))
            rest = more if least else net.maybe(net.chain([item(b""), more]))
        else:
            rest = net.literal(b"")
            for index in range(most, least, -1):
                rest = net.maybe(net.chain([item(b"," if index > 1 else b""), rest]))
        return net.chain([net.literal(b"["), *parts, rest, net.literal(b"]")])

    def _string(self, least: int, most: int | None) -> Part:
        net = self.network
        parts = [self._character() for _ in range(least)]
        if most is None:
            rest = net.many(self._character())
        else:
            rest = net.literal(b"")
            for _ in range(most - least):
                rest = net.maybe(net.chain([self._character(), rest]))
        return net.chain([net.literal(b'"'), *parts, rest, net.literal(b'"')])

    def _character(self) -> Part:
        """One character of a JSON string: plain, escaped, or of two to four bytes of UTF-8."""
        net = self.network
        escaped = net.chain([net.literal(b"\\"), net.one_of(b'"\\/bfnrt')])
        wide = [net.chain([net.one_of(range(*one)) for one in shape]) for shape in _WIDE]
        return net.either([net.one_of(_PLAIN), escaped, *wide])

    def _integer(self) -> Part:
        net = self.network
        rest = net.literal(b"")
        for _ in range(MAX_DIGITS - 1):
            rest = net.maybe(net.chain([net.one_of(_DIGITS), rest]))
        whole = net.either([net.literal(b"0"), net.chain([net.one_of(_DIGITS - {0x30}), rest])])
        return net.chain([net.maybe(net.literal(b"-")), whole])

    def _number(self) -> Part:
        net = self.network
        rest = net.literal(b"")
        for _ in range(MAX_DIGITS - 1):
            rest = net.maybe(net.chain([net.one_of(_DIGITS), rest]))
        fraction = net.chain([net.literal(b"."), net.one_of(_DIGITS), rest])
        return net.chain([self._integer(), net.maybe(fraction)])


def _bounds(schema: Mapping[str, Any], low: str, high: str, where: str) -> tuple[int, int | None]:
    least, most = schema.get(low, 0), schema.get(high)
    numbers = [least] if most is None else [least, most]
    if not all(type(number) is int and 0 <= number <= MAX_REPEATS for number in numbers) or least > numbers[-1]:
        raise UsageError(f"{where} has {low} {least!r} and {high} {most!r}", f"give 0 to {MAX_REPEATS}, in order")
    return least, most


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value!r} is no JSON value", "give text, numbers, true, false or null") from error
