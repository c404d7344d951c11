"""Policies on the M4A1 sample over paired seeds: each seed is another split, the same one for every policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.errors import UsageError
from edge_agent.policy.conversation import Budget, LookAhead
from edge_agent.sim.compare import Comparison
from edge_agent.sim.m4a1_data import Conversations
from edge_agent.sim.m4a1_prices import measured_local, prices_of, published_local
from edge_agent.sim.m4a1_table import Setting, one_seed
from edge_agent.sim.scenario import ConversationSpec, Scenario

DEFAULT = ("tmo", "greedy", "constant", "local", "cloud", "random", "oracle")


def compare_conversations(
    scenario: Scenario, found: Conversations, policies: Sequence[str], seeds: Sequence[int]
) -> Comparison:
    """`worth` is the reward, `accuracy` the response's score, `over_budget` the share of conversations that broke one.

    Raises UsageError for a budget that nothing can hold, ValueError for a scenario without conversations.
    """
    if scenario.conversations is None:
        raise ValueError("the scenario has no conversations")
    setting = setting_of(scenario.conversations, found)
    made = Comparison(scenario, seeds)
    for name in policies:
        runs = [one_seed(setting, name, seed) for seed in seeds]
        made.add(
            name,
            {
                "worth": np.array([run["reward"] for run in runs]),
                "accuracy": np.array([run["response"] for run in runs]),
                "latency_ms": np.array([1000.0 * run["latency_s"] for run in runs]),
                "cost_usd": np.array([run["cost_usd"] for run in runs]),
                "over_budget": np.array([run["exceeded"] / run["n"] for run in runs]),
            },
        )
    return made


def setting_of(spec: ConversationSpec, found: Conversations) -> Setting:
    """What `eval m4a1` would be told. Raises UsageError."""
    published = spec.cost == "published"
    local = published_local(spec.device) if published else measured_local(found.conversations)
    prices, budget = prices_of(local, spec.network), Budget(spec.budget_s, spec.budget_usd)
    if not LookAhead(prices).feasible(budget):
        raise UsageError(
            f"no policy can hold five turns within {budget.latency_s:g} s and {budget.cost_usd:g} USD",
            f"the fastest turn takes {prices.latency_s.min():.3g} s, the cheapest {prices.cost_usd.min():.3g} USD",
        )
    return Setting(found, prices, budget)
