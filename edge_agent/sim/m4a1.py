"""The M4A1 environment: a policy talks its way through held-out conversations and is paid as in TMO.

    reward = response + association / 3 - latency / 3 - money / 3

Response: the nearest-neighbour model, fitted on the training conversations only. Association, latency and money are
min-max normalised over the nine actions. The history that the response depends on is the policy's own actions, not the
recorded ones. A conversation's reward is the mean over its turns; a run's figures are means over conversations. [C]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.policy.conversation import (
    ACTION_NAMES,
    ACTIONS,
    F64,
    SPAN,
    Budget,
    ConversationPolicy,
    Prices,
    Situation,
    association_score,
    rewards,
)
from edge_agent.policy.response import ResponseModel, turn_codes
from edge_agent.sim.m4a1_data import Conversation

ROUNDING = 1e-9  # sums of floats may pass a budget by this without having passed it


@dataclass(frozen=True, slots=True)
class Rollout:
    """What became of one conversation; `reward` and `response` are means over its turns."""

    actions: tuple[int, ...]
    reward: float
    response: float
    latency_s: float
    cost_usd: float


class Environment:
    """Pays for actions. Fitted on training conversations; knows nothing of the held-out ones but what is asked."""

    def __init__(self, train: Sequence[Conversation], task_count: int, prices: Prices, ties: str = "order") -> None:
        self.train = tuple(train)
        self.prices = prices
        self.model = ResponseModel([row for c in train for row in c.rows()], task_count, ties)

    def response(self, tasks: Sequence[int], actions: Sequence[int]) -> F64:
        """[9] response score of each action in this turn."""
        codes = np.array([turn_codes(tasks, actions, self.model.task_count)])
        return np.asarray(self.model.scores(codes)[0])

    def reward(self, response: F64, association: F64) -> F64:
        """Reward of each action: `response` is [..., 9], `association` [..., 9] as association_score gives it."""
        return rewards(response, association, self.prices)

    def roll(self, policy: ConversationPolicy, conversation: Conversation, budget: Budget) -> Rollout:
        """Let the policy answer every turn of a conversation. It never learns how many turns are still to come."""
        tasks, actions = conversation.tasks, list[int]()
        rewards, responses = list[float](), list[float]()
        latency_s = cost_usd = 0.0
        for at in range(len(tasks)):
            situation = Situation(
                tasks=tasks[: at + 1],
                actions=tuple(actions),
                association=conversation.association[at],
                latency_left_s=budget.latency_s - latency_s,
                cost_left_usd=budget.cost_usd - cost_usd,
                turns_after=SPAN - 1 - at,
            )
            action = policy.choose(situation)
            response = self.response(situation.tasks, actions)
            rewards.append(float(self.reward(response, association_score(situation.association))[action]))
            responses.append(float(response[action]))
            latency_s += float(self.prices.latency_s[action])
            cost_usd += float(self.prices.cost_usd[action])
            actions.append(action)
        return Rollout(tuple(actions), float(np.mean(rewards)), float(np.mean(responses)), latency_s, cost_usd)


PolicyFor = Callable[[Conversation], ConversationPolicy]


def evaluate(
    environment: Environment, policy_for: PolicyFor, test: Sequence[Conversation], budget: Budget
) -> dict[str, Any]:
    """The figures of one policy on the test conversations. `policy_for` gets the conversation for the oracle."""
    return report([environment.roll(policy_for(c), c, budget) for c in test], budget)


def report(rollouts: Sequence[Rollout], budget: Budget) -> dict[str, Any]:
    """Means over conversations; `over_*` are mean excesses, `exceeded` the conversations that broke a budget."""
    latency_s = np.array([r.latency_s for r in rollouts])
    cost_usd = np.array([r.cost_usd for r in rollouts])
    slow, dear = latency_s - budget.latency_s, cost_usd - budget.cost_usd
    slow, dear = np.where(slow > ROUNDING, slow, 0.0), np.where(dear > ROUNDING, dear, 0.0)
    taken = Counter(action for r in rollouts for action in r.actions)
    return {
        "n": len(rollouts),
        "turns": sum(taken.values()),
        "reward": float(np.mean([r.reward for r in rollouts])),
        "response": float(np.mean([r.response for r in rollouts])),
        "latency_s": float(latency_s.mean()),
        "cost_usd": float(cost_usd.mean()),
        "over_latency": float(slow.mean()),
        "over_cost": float(dear.mean()),
        "exceeded": int(((slow > 0) | (dear > 0)).sum()),
        "latency_s_max": float(latency_s.max()),
        "cost_usd_max": float(cost_usd.max()),
        "actions": {ACTION_NAMES[a]: taken[a] for a in range(ACTIONS) if taken[a]},
    }
