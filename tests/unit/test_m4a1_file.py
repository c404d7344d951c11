"""The published file of conversations: what is read of it, and damage refused with its place."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.errors import InputError
from edge_agent.policy.conversation import ACTION_NAMES
from edge_agent.sim.m4a1_data import parse_conversations
from m4a1 import TASKS, conversation, drawn, parsed, turn


def test_a_recorded_turn_is_read_with_its_action_and_a_refusal_scores_nothing() -> None:
    views = turn("Query", 1, [2, 0], score=1.5)
    refused = turn("Query", 0, answer="I'm sorry, I cannot see.", score=2.0)
    read = parsed([conversation(views, refused), *drawn(9)]).conversations[0]
    assert [t.action for t in read.turns] == [ACTION_NAMES.index("view0+2"), 0]
    assert [t.score for t in read.turns] == [1.5, 0.0]


def test_tasks_are_numbered_by_their_names() -> None:
    assert parsed(drawn()).tasks == TASKS


def test_the_first_fifth_of_the_shuffled_set_is_the_test_set() -> None:
    read = parsed(drawn(25))
    order = list(range(25))
    random.Random(7).shuffle(order)
    train, test = read.split(7)
    assert test == [read.conversations[i] for i in order[:5]]
    assert train == [read.conversations[i] for i in order[5:]]
    assert read.split(7)[1] == test != read.split(8)[1]


def broken(change: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    document = drawn(10)
    change(document[3])
    return document


BAD = {
    "a number for a list": (1, "no list of conversations"),
    "a future version": ({"version": 9, "conversations": []}, "version 9"),
    "too few": (drawn(4), "4 conversations"),
    "no interactions": (broken(lambda c: c.pop("interactions")), "conversation 3: no list `interactions`"),
    "no turns": (broken(lambda c: c["interactions"].clear()), "conversation 3: 0 turns"),
    "too many turns": (broken(lambda c: c["interactions"].extend([turn()] * 6)), "conversation 3: "),
    "no task": (broken(lambda c: c["interactions"][1].pop("task_cat")), "conversation 3, turn 1: no text `task_cat`"),
    "no answer": (broken(lambda c: c["interactions"][1].pop("answer")), "conversation 3, turn 1: no text `answer`"),
    "no score": (broken(lambda c: c["interactions"][1].pop("score")), "conversation 3, turn 1: score is None"),
    "NaN": (broken(lambda c: c["interactions"][0].update(score=math.nan)), "conversation 3, turn 0: score is nan"),
    "negative time": (
        broken(lambda c: c["interactions"][0].update(interaction_time=-1)),
        "conversation 3, turn 0: interaction_time is -1",
    ),
    "infinite cost": (broken(lambda c: c["interactions"][0].update(usage_cost=math.inf)), "usage_cost is inf"),
    "words for a number": (broken(lambda c: c["interactions"][0].update(score="good")), "score is good"),
    "a third place": (broken(lambda c: c["interactions"][0].update(action=2)), "turn 0: action is 2"),
    "a fourth view": (
        broken(lambda c: c["interactions"][0].update(action=1, image_index=[3])),
        "turn 0: image_index is [3]",
    ),
    "views on the device": (
        broken(lambda c: c["interactions"][0].update(action=0, image_index=[1])),
        "none on the device",
    ),
    "a view twice": (broken(lambda c: c["interactions"][0].update(action=1, image_index=[1, 1])), "each view once"),
    "no association": (broken(lambda c: c.pop("association_score")), "no `association_score` for each"),
    "two numbers for three views": (
        broken(lambda c: c["association_score"].__setitem__(0, [0.1, 0.2])),
        "turn 0: `association_score` has no 3 numbers",
    ),
    "association of NaN": (
        broken(lambda c: c["association_score"].__setitem__(0, [0.1, math.nan, 0.2])),
        "association_score is nan",
    ),
    "too many tasks": (
        [conversation(turn(f"task {i}"), turn(f"more {i}")) for i in range(10)],
        "20 kinds of task",
    ),
}


@pytest.mark.parametrize(("document", "words"), BAD.values(), ids=BAD)
def test_a_damaged_file_is_refused_with_its_place(document: Any, words: str) -> None:
    with pytest.raises(InputError) as refused:
        parsed(document)
    assert words in str(refused.value)
    assert str(refused.value).startswith("M4A1.json")
    assert "\n" not in str(refused.value)


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(InputError, match="not JSON"):
        parse_conversations("[" * 100_000, "M4A1.json")
    with pytest.raises(InputError, match="not JSON"):
        parse_conversations("{", "M4A1.json")
