"""Made-up conversations in the format of M4A1.json, for tests without the data."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from edge_agent.sim.m4a1_data import Conversations, parse_conversations

TASKS = ("Assistive System", "Message Editing", "Query", "Recommendation")


def turn(task: str = "Query", action: int = 0, views: list[int] | None = None, **changed: Any) -> dict[str, Any]:
    """One turn; `changed` replaces fields."""
    fields = {
        "question": "Where is my cup?",
        "task_cat": task,
        "action": action,
        "image_index": views,
        "answer": "On the counter.",
        "score": 1.0,
        "interaction_time": 7.5,
        "usage_cost": 0.00005,
    }
    return fields | changed


def conversation(*turns: dict[str, Any], association: list[list[float]] | None = None) -> dict[str, Any]:
    """One conversation; without `association` each turn's is 0.2, 0.3, 0.25."""
    return {
        "id": 0,
        "image_paths": ["a.jpg", "b.jpg", "c.jpg"],
        "interactions": list(turns),
        "association_score": association or [[0.2, 0.3, 0.25] for _ in turns],
    }


def drawn(count: int = 30, seed: int = 0) -> list[dict[str, Any]]:
    """`count` conversations of 2 to 5 turns; the cloud and more views tend to score higher."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        turns, association = [], []
        for _ in range(rng.randint(2, 5)):
            cloud = rng.randint(0, 1)
            views = rng.sample(range(3), rng.randint(0, 3)) if cloud else []
            score = round(rng.uniform(0.3, 1.2) + 0.3 * len(views), 3)
            turns.append(turn(rng.choice(TASKS), cloud, views or None, score=score))
            association.append([rng.uniform(0.1, 0.3) for _ in range(3)])
        made.append(conversation(*turns, association=association))
    return made


def written(folder: Path, document: Any) -> Path:
    """The document as a file."""
    path = folder / "M4A1.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def parsed(document: Any) -> Conversations:
    return parse_conversations(json.dumps(document), "M4A1.json")
