"""What a policy has learned, saved and taken up again: versioned, bounded, set aside where it does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

FORMAT = 1
MAX_STATE_BYTES = 262_144


@runtime_checkable
class Learns(Protocol):
    """A policy that keeps something worth saving. `restore` raises ValueError for what does not fit, unchanged."""

    name: str

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


def saved(policy: object) -> str | None:
    """The policy's state as the text of a file; None where it keeps none, or more than a file may hold."""
    if not isinstance(policy, Learns):
        return None
    text = json.dumps({"format": FORMAT, "policy": policy.name, "state": policy.state()}, allow_nan=False)
    return text if len(text) <= MAX_STATE_BYTES else None


def take_up(policy: object, text: str) -> None:
    """Give a policy what an earlier one of its name saved. Raises ValueError that says why it does not fit."""
    if not isinstance(policy, Learns):
        raise ValueError("this policy keeps no state")
    if len(text) > MAX_STATE_BYTES:
        raise ValueError(f"it is larger than {MAX_STATE_BYTES} bytes")
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    if document.get("policy") != policy.name:
        raise ValueError(f"it is of the policy {document.get('policy')!r:.40}")
    state = document.get("state")
    if not isinstance(state, dict):
        raise ValueError("it holds no state")
    policy.restore(state)
