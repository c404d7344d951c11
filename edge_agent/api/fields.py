"""Reading the fields of a JSON request: each of its type and range, or one refusal that names it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from edge_agent.api.refusals import bad


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Refusal: no JSON, too deeply nested, or no object."""
    try:
        made = json.loads(body)
    except RecursionError as error:
        raise bad("the request's JSON is too deeply nested", "send less at once", code="invalid_json") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise bad(f"the request is not JSON: {str(error)[:120]}", "send a JSON object", code="invalid_json") from error
    if not isinstance(made, dict):
        raise bad("the request is no JSON object", "send a JSON object", code="invalid_json")
    return made


def text_of(fields: Mapping[str, Any], key: str, where: str) -> str:
    """A text that must be there."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise bad(f"{where}.{key} is no text", "give a text", f"{where}.{key}")
    return value


def number_of(fields: Mapping[str, Any], key: str, low: float, high: float, default: float, where: str = "") -> float:
    """A finite number within low..high; `default` where it is missing or null."""
    value = fields.get(key)
    if value is None:
        return default
    name = f"{where}.{key}" if where else key
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise bad(f"{name} is {str(value)[:40]}", f"give a number of {low:g} to {high:g}", name)
    return float(value)


def whole_of(fields: Mapping[str, Any], key: str, low: int, high: int) -> int | None:
    """A whole number within low..high; None where it is missing or null."""
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise bad(f"{key} is {str(value)[:40]}", f"give a whole number of {low} to {high}", key)
    return value


def flag_of(fields: Mapping[str, Any], key: str, where: str = "") -> bool:
    """True or false; False where it is missing or null."""
    value = fields.get(key)
    if value is not None and not isinstance(value, bool):
        name = f"{where}.{key}" if where else key
        raise bad(f"{name} is {str(value)[:40]}", "give true or false", name)
    return bool(value)
