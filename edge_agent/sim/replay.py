"""A recorded decision log, decided again: the same policy, told the same, must say the same.

What a line does not hold cannot be replayed: the words of a private question, a long sound that nobody summed up, and
what a policy had learned before the log began.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_agent.errors import InputError
from edge_agent.policy import GuardedPolicy
from edge_agent.policy.base import OffloadPolicy
from edge_agent.policy.switch import SwitchedPolicy
from edge_agent.summary import text_features
from edge_agent.types import (
    Decision,
    EmptyTiles,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    MotionFeatures,
    Outcome,
    Route,
    SoundFeatures,
    SoundSummary,
    SystemState,
    Turn,
)
from edge_agent.values import plain, unpacked

HINT = "name a decision log of this version"
MOST_DIFFERENCES = 20
MOST_FRAMES = 1_000_000
CLOSE = 1e-5  # logs of earlier versions kept six places
SOUND = ("flux", "spectral_entropy", "flatness", "energy", "zero_crossing_rate")
MakeNamed = Callable[[str, Mapping[str, Any]], OffloadPolicy]


@dataclass(slots=True)
class Replay:
    """What came of a log. `different`: the first of them as (line, what was recorded, what was decided now)."""

    same: int = 0
    different: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    first: list[tuple[int, dict[str, Any], dict[str, Any]]] = field(default_factory=list)


def replay(lines: Iterable[tuple[str, int, Mapping[str, Any]]], make: MakeNamed) -> Replay:
    """Decide every (place, number, record) again and let the policy learn from the recorded outcome.

    `make(name, simulated)` builds a fresh policy; `simulated` is what a simulated line says of its run, else empty.
    Raises InputError with the place for a line that does not fit.
    """
    found, policies = Replay(), dict[str, SwitchedPolicy]()
    for place, number, record in lines:
        simulated = record.get("simulated") or {}
        try:
            told = _told(record)
            if isinstance(told, str):
                found.skipped[told] += 1
                continue
            name = str(record["decision"]["policy"])
            device = repr(sorted(simulated.items(), key=repr))
            if device not in policies:
                policies[device] = SwitchedPolicy(lambda wanted, run=simulated: make(wanted, run), name)  # type: ignore[misc]
            policies[device].switch(name)
            guarded = GuardedPolicy(policies[device])
            decision = guarded.decide(*told)
            if (outcome := _outcome(record.get("outcome"), decision)) is not None:
                guarded.observe(outcome)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{place}:{number}: it cannot be replayed: {type(error).__name__} {error}", HINT
            ) from error
        recorded, now = dict(record["decision"]), plain(decision, exact=True)
        if _alike(recorded, now):
            found.same += 1
            continue
        found.different += 1
        if len(found.first) < MOST_DIFFERENCES:
            found.first.append((number, recorded, now))
    return found


def _told(record: Mapping[str, Any]) -> tuple[ModalityFeatures, SystemState, tuple[Turn, ...]] | str:
    """What the policy was told, or why that is not known."""
    question, raw = record["question"], record["features"]
    if question is None:
        return "private: its words are not in the log"
    sound = raw["sound"]
    if sound is not None and "flux" not in sound and not sound.get("summary"):
        return "a long sound without a summary"
    features = ModalityFeatures(
        image=None if raw["image"] is None else _image(raw["image"]),
        motion=tuple(
            MotionFeatures(**{**m, "tile_mean_abs_diff": unpacked(m["tile_mean_abs_diff"])}) for m in raw["motion"]
        ),
        sound=None if sound is None else _sound(sound),
        question=question,
        text=text_features(question),
    )
    state = dict(record["state"])
    state["encodable"] = tuple(Modality(name) for name in state["encodable"])
    turn = record.get("turn", 1)
    return features, SystemState(**state), (Turn("", ""),) * (int(turn) - 1)


def _image(raw: Mapping[str, Any]) -> ImageFeatures:
    empty = raw.get("empty")
    tiles = unpacked(raw["tile_entropy_bits"])
    return ImageFeatures(**{**raw, "tile_entropy_bits": tiles, "empty": None if empty is None else EmptyTiles(**empty)})


def _sound(raw: Mapping[str, Any]) -> SoundFeatures:
    """As it was, or one of the same length and summary: what policies read of a long one."""
    summary = None if raw.get("summary") is None else SoundSummary(**raw["summary"])
    if "flux" in raw:
        arrays = {name: unpacked(raw[name]) for name in SOUND}
        return SoundFeatures(**{**raw, **arrays, "summary": summary})
    frames = int(raw["stft_frames"])
    if not 0 < frames <= MOST_FRAMES:
        raise ValueError(f"a sound of {frames} frames")
    alike = {name: np.full(frames, raw[f"{name}_mean"], np.float32) for name in SOUND}
    return SoundFeatures(raw["rate_hz"], raw["window"], raw["hop"], **alike, summary=summary)


def _outcome(raw: Mapping[str, Any] | None, decision: Decision) -> Outcome | None:
    return None if raw is None else Outcome(**{**raw, "decision": decision, "route": Route(raw["route"])})


def _same_field(recorded: Mapping[str, Any], now: Mapping[str, Any], key: str) -> bool:
    """What an earlier version did not know, it did not ask for either."""
    return (key not in recorded and not now[key]) or _alike(recorded.get(key), now.get(key))


def _alike(recorded: Any, now: Any) -> bool:
    """The same but for rounding, and for the reason in words, which is made of the same numbers."""
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        keys = (recorded.keys() | now.keys()) - {"reason", "guards", "rests"}
        guards = len(recorded.get("guards") or ()) == len(now.get("guards") or ())
        return guards and all(_same_field(recorded, now, key) for key in keys)
    if isinstance(recorded, list) and isinstance(now, list):
        return len(recorded) == len(now) and all(_alike(a, b) for a, b in zip(recorded, now, strict=True))
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (recorded, now))
    return math.isclose(recorded, now, rel_tol=CLOSE, abs_tol=CLOSE) if numbers else bool(recorded == now)
