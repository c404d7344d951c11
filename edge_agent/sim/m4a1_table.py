"""Which policies `eval m4a1` knows, how each is made for one split, and their figures over several seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.policy.conversation import ACTION_NAMES, ACTIONS, LOCAL, Budget, Prices
from edge_agent.sim.m4a1 import Environment, PolicyFor, evaluate
from edge_agent.sim.m4a1_baselines import Constant, Drawn, Greedy, Oracle, best_constant
from edge_agent.sim.m4a1_data import Conversations
from edge_agent.sim.tmo_training import Planner, train_tmo

CONVERSATION_POLICIES = (
    "tmo",
    "planner",
    "greedy",
    "constant",
    *(f"constant-{a}" for a in range(ACTIONS)),
    "local",
    "cloud",
    "random",
    "oracle",
)
SUMMED = ("n", "turns", "exceeded")


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything about a comparison but the policy and the seed."""

    conversations: Conversations
    prices: Prices
    budget: Budget
    ties: str = "order"


def over_seeds(setting: Setting, name: str, seeds: Iterable[int]) -> dict[str, Any]:
    """One policy's figures: means over the seeds, counts added up, and each seed's reward."""
    runs = [one_seed(setting, name, seed) for seed in seeds]
    figures: dict[str, Any] = {}
    for key in runs[0]:
        values = [run[key] for run in runs]
        if key == "actions":
            counts = sum((Counter(v) for v in values), Counter[str]())
            figures[key] = {action: counts[action] for action in ACTION_NAMES if counts[action]}
        elif key in SUMMED:
            figures[key] = sum(values)
        else:
            figures[key] = max(values) if key.endswith("_max") else float(np.mean(values))
    if len(runs) > 1:
        figures["reward_by_seed"] = [run["reward"] for run in runs]
    return figures


def one_seed(setting: Setting, name: str, seed: int) -> dict[str, Any]:
    """One policy on the test conversations of one seed; what learns has seen that seed's training conversations."""
    train, test = setting.conversations.split(seed)
    environment = Environment(train, len(setting.conversations.tasks), setting.prices, setting.ties)
    return evaluate(environment, policy_maker(name, environment, setting.budget, seed), test, setting.budget)


def policy_maker(name: str, environment: Environment, budget: Budget, seed: int) -> PolicyFor:
    """Makes the policy for a conversation; only the oracle looks at it."""
    if name == "oracle":
        return lambda conversation: Oracle(environment, conversation, budget)
    if name in ("tmo", "planner"):
        trained = train_tmo(environment, seed)
        learned = trained if name == "tmo" else Planner(trained)
        return lambda _: learned
    if name == "greedy":
        greedy = Greedy(environment)
        return lambda _: greedy
    if name in ("random", "cloud"):
        drawn = Drawn(name, 0.5 if name == "random" else 0.0, seed)
        return lambda _: drawn
    constant = Constant(_constant_action(name, environment, budget), name)
    return lambda _: constant


def _constant_action(name: str, environment: Environment, budget: Budget) -> int:
    if name == "local":
        return LOCAL
    return best_constant(environment, budget) if name == "constant" else int(name.rpartition("-")[2])
