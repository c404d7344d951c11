"""What `tmo` is compared with on M4A1: local, cloud, random, constant actions, greedy, and a clairvoyant oracle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.policy.conversation import ACTIONS, Budget, LookAhead, Situation, association_score
from edge_agent.policy.response import turn_codes
from edge_agent.sim.m4a1 import Environment, Rollout
from edge_agent.sim.m4a1_data import Conversation


class Constant:
    """The same action in every turn, whatever it takes."""

    def __init__(self, action: int, name: str) -> None:
        self.name = name
        self._action = action

    def choose(self, situation: Situation) -> int:
        return self._action


class Drawn:
    """An action drawn at random, whatever it takes. As published: half of the turns local, or all of them cloud."""

    def __init__(self, name: str, local_share: float, seed: int) -> None:
        self.name = name
        self._weights = np.array([local_share] + [(1.0 - local_share) / (ACTIONS - 1)] * (ACTIONS - 1))
        self._random = np.random.default_rng(seed)

    def choose(self, situation: Situation) -> int:
        return int(self._random.choice(ACTIONS, p=self._weights))


class Greedy:
    """The largest reward of this turn by the fitted response model, within the look-ahead; blind to the future."""

    name = "greedy"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._gate = LookAhead(environment.prices)

    def choose(self, situation: Situation) -> int:
        response = self._environment.response(situation.tasks, situation.actions)
        reward = self._environment.reward(response, association_score(situation.association))
        allowed = self._gate.allowed(situation.latency_left_s, situation.cost_left_usd, situation.turns_after)
        return int(np.argmax(np.where(allowed, reward, -np.inf)))


class Oracle:
    """The best plan for a conversation that is known to its end: an upper bound, not a policy.

    It also knows when the conversation ends, so it keeps the budgets without a reserve. Every plan is tried.
    """

    name = "oracle"

    def __init__(self, environment: Environment, conversation: Conversation, budget: Budget) -> None:
        self._plan = self._best(environment, conversation, budget)

    def choose(self, situation: Situation) -> int:
        return int(self._plan[len(situation.actions)])

    @staticmethod
    def _best(env: Environment, conversation: Conversation, budget: Budget) -> NDArray[np.int64]:
        tasks = conversation.tasks
        plans = np.zeros((1, 0), dtype=np.int64)  # [P, turns so far]
        gained = np.zeros(1)  # [P]
        for at in range(len(tasks)):
            codes = np.array([turn_codes(tasks[: at + 1], plan, env.model.task_count) for plan in plans.tolist()])
            gain = env.reward(env.model.scores(codes), association_score(conversation.association[at]))  # [P, 9]
            plans = np.hstack([np.repeat(plans, ACTIONS, axis=0), np.tile(np.arange(ACTIONS), len(plans))[:, None]])
            gained = (gained[:, None] + gain).ravel()
            fits = _within(env, plans, budget)
            plans, gained = plans[fits], gained[fits]
        return np.asarray(plans[int(np.argmax(gained))])


def _within(env: Environment, plans: NDArray[np.int64], budget: Budget) -> NDArray[np.bool_]:
    slow = env.prices.latency_s[plans].sum(axis=1) <= budget.latency_s
    return np.asarray(slow & (env.prices.cost_usd[plans].sum(axis=1) <= budget.cost_usd))


def best_constant(environment: Environment, budget: Budget) -> int:
    """The constant action with the largest mean reward on the training conversations."""

    def on_training(action: int) -> float:
        rolled: list[Rollout] = [environment.roll(Constant(action, ""), c, budget) for c in environment.train]
        return float(np.mean([r.reward for r in rolled]))

    means: Sequence[float] = [on_training(action) for action in range(ACTIONS)]
    return int(np.argmax(means))
