"""Reading M4A1: recorded conversations of a household assistant with three camera views (arXiv 2502.11007).

The published file is a JSON list of conversations, each with `interactions` (task_cat, action, image_index, answer,
score, interaction_time in seconds, usage_cost in USD) and `association_score`, one row of three per turn.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.errors import InputError
from edge_agent.policy.conversation import F64, LOCAL, SPAN, VIEW_SETS, VIEWS
from edge_agent.policy.response import NEIGHBOURS, RecordedTurn

TEST_SHARE = 0.2
MAX_CONVERSATIONS = 100_000
MAX_TASKS = 16
REFUSALS = ("sorry", "I don't have", "can't")  # an answer with one of these scores 0 [C]
HINT = "give the published M4A1.json, a list of conversations"


@dataclass(frozen=True, slots=True)
class Turn:
    """What was recorded of one turn. `score` is 0 where the assistant refused."""

    task: int
    action: int
    score: float
    latency_s: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """One to five recorded turns; `association` is [turns, 3] float64."""

    turns: tuple[Turn, ...]
    association: F64

    @property
    def tasks(self) -> tuple[int, ...]:
        return tuple(turn.task for turn in self.turns)

    def rows(self) -> list[RecordedTurn]:
        """Each turn with what led to it."""
        tasks, actions = self.tasks, tuple(turn.action for turn in self.turns)
        return [RecordedTurn(tasks[: i + 1], actions[:i], t.action, t.score) for i, t in enumerate(self.turns)]


@dataclass(frozen=True, slots=True)
class Conversations:
    """A set; `tasks` are the names in alphabetical order, so that their numbers do not depend on the order of rows."""

    conversations: tuple[Conversation, ...]
    tasks: tuple[str, ...]

    def split(self, seed: int) -> tuple[list[Conversation], list[Conversation]]:
        """(train, test): shuffled by `random.Random(seed)`, the first fifth is the test set. [C]"""
        shuffled = list(self.conversations)
        random.Random(seed).shuffle(shuffled)
        held_out = int(len(shuffled) * TEST_SHARE)
        return shuffled[held_out:], shuffled[:held_out]


def parse_conversations(text: str, name: str) -> Conversations:
    """The conversations in a file's text; `name` is the file's, for messages. Raises InputError with the place."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON: {error}", HINT) from error
    if isinstance(document, dict) and "version" in document:
        raise InputError(f"{name}: version {str(document['version'])[:40]} of the format is not known here", HINT)
    if not isinstance(document, list):
        raise InputError(f"{name}: no list of conversations", HINT)
    if len(document) > MAX_CONVERSATIONS:
        raise InputError(f"{name} has {len(document)} conversations", f"at most {MAX_CONVERSATIONS} are read")
    if len(document) < 1 / TEST_SHARE:
        raise InputError(f"{name} has {len(document)} conversations", "at least 5 are needed, a fifth is the test set")
    names: set[str] = set()
    for at, conversation in enumerate(document):
        names |= _task_names(conversation, f"{name}: conversation {at}")
    if len(names) > MAX_TASKS:
        raise InputError(f"{name} has {len(names)} kinds of task", f"at most {MAX_TASKS} are read")
    tasks = sorted(names)
    parsed = [_conversation(c, tasks, f"{name}: conversation {at}") for at, c in enumerate(document)]
    held_out = sum(sorted((len(c.turns) for c in parsed), reverse=True)[: int(len(parsed) * TEST_SHARE)])
    if sum(len(c.turns) for c in parsed) - held_out < NEIGHBOURS:
        raise InputError(f"{name} has too few turns to learn from", f"at least {NEIGHBOURS} must be left for training")
    return Conversations(tuple(parsed), tuple(tasks))


def _task_names(conversation: Any, place: str) -> set[str]:
    if not isinstance(conversation, dict) or not isinstance(conversation.get("interactions"), list):
        raise InputError(f"{place}: no list `interactions`", HINT)
    turns = conversation["interactions"]
    if not 1 <= len(turns) <= SPAN:
        raise InputError(f"{place}: {len(turns)} turns", f"a conversation has 1 to {SPAN}")
    for at, turn in enumerate(turns):
        if not isinstance(turn, dict) or not isinstance(turn.get("task_cat"), str):
            raise InputError(f"{place}, turn {at}: no text `task_cat`", HINT)
    return {turn["task_cat"] for turn in turns}


def _conversation(record: dict[str, Any], tasks: Sequence[str], place: str) -> Conversation:
    turns = [_turn(turn, tasks, f"{place}, turn {at}") for at, turn in enumerate(record["interactions"])]
    rows = record.get("association_score")
    if not isinstance(rows, list) or len(rows) != len(turns):
        raise InputError(f"{place}: no `association_score` for each of the {len(turns)} turns", HINT)
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != VIEWS:
            raise InputError(f"{place}, turn {at}: `association_score` has no {VIEWS} numbers", HINT)
    scores = [
        [_number(value, f"{place}, turn {at}: association_score", -1.0, 1.0) for value in row]
        for at, row in enumerate(rows)
    ]
    return Conversation(tuple(turns), np.array(scores))


def _turn(record: dict[str, Any], tasks: Sequence[str], place: str) -> Turn:
    answer = record.get("answer")
    if not isinstance(answer, str):
        raise InputError(f"{place}: no text `answer`", HINT)
    refused = any(words in answer for words in REFUSALS)
    score, latency_s, cost_usd = (
        _number(record.get(key), f"{place}: {key}") for key in ("score", "interaction_time", "usage_cost")
    )
    return Turn(
        task=tasks.index(record["task_cat"]),
        action=_action(record, place),
        score=0.0 if refused else score,
        latency_s=latency_s,
        cost_usd=cost_usd,
    )


def _action(record: dict[str, Any], place: str) -> int:
    where, views = record.get("action"), record.get("image_index")
    if where not in (0, 1) or isinstance(where, bool):
        raise InputError(f"{place}: action is {str(where)[:40]}", "0 is the device, 1 the cloud")
    if views is None:
        views = []
    if not isinstance(views, list) or any(type(v) is not int or not 0 <= v < VIEWS for v in views):
        raise InputError(f"{place}: image_index is {str(views)[:40]}", f"null or a list of 0..{VIEWS - 1}")
    if len(set(views)) != len(views) or (where == 0 and views):
        raise InputError(f"{place}: image_index is {views}", "each view once, and none on the device")
    return LOCAL if where == 0 else 1 + VIEW_SETS.index(tuple(sorted(views)))


def _number(value: Any, place: str, low: float = 0.0, high: float = 1e6) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{place} is {str(value)[:40]}", "a number is needed")
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"{place} is {str(value)[:40]}", f"a number from {low:g} to {high:g} is needed")
    return float(value)
