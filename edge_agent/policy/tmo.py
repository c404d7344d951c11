"""TMO for conversations: resource-constrained reinforcement learning over location and views, budgets in the state.

After arXiv 2502.11007. State, actions and reward are the paper's; how the agent learns is **our construction**
(docs/methods.md keeps the two apart):

    Q(s, a) = w_t * r(s, a) + c_t * V_t(s after a)      over the actions that the look-ahead on both budgets allows
    r       the response model fitted on training conversations, plus association, minus latency and money
    w_t     expected weight of a turn's reward in its conversation's mean, E[1 / turns | turn t is reached]
    c_t     P(another turn comes | turn t was reached)
    V_t     what the turns after t will bring: a small network of the history, the choice and the budgets left

V_t sees the conversation only as it is after the choice, before the next question is known. It is fitted backwards from
the last turn by `edge_agent.sim.tmo_training`. Here is only what the device needs: numpy and a few thousand numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.policy.conversation import (
    ACTIONS,
    F64,
    SPAN,
    LookAhead,
    Prices,
    Situation,
    association_score,
    rewards,
)
from edge_agent.policy.response import ResponseModel, batch_codes

Ints = NDArray[np.int64]
F32 = NDArray[np.float32]
BUDGET_FEATURES = 6


@dataclass(frozen=True, slots=True)
class Network:
    """Two hidden layers with rectifiers. `layers` are (weights [in, out], bias [out]) float32; the output is scaled."""

    layers: tuple[tuple[F32, F32], ...]
    mean: float
    scale: float

    def __call__(self, features: F32) -> F64:
        """[M] float64 from [M, in] float32."""
        hidden = features
        for weights, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weights + bias, 0.0)
        weights, bias = self.layers[-1]
        return np.asarray((hidden @ weights + bias)[:, 0].astype(np.float64) * self.scale + self.mean)


@dataclass(frozen=True, slots=True)
class Chain:
    """How conversations go, counted on the training conversations.

    `turn_weight` [5] is w_t, `goes_on` [5] is c_t, `first_task` [T] and `next_task` [T, T] are probabilities,
    `association` [9] is the mean association score of each action, for turns that are not yet known.
    """

    turn_weight: F64
    goes_on: F64
    first_task: F64
    next_task: F64
    association: F64


@dataclass(frozen=True, slots=True)
class Batch:
    """M conversations, all in turn t: `tasks` [M, t], `actions` [M, t - 1 or t], budgets left [M]."""

    tasks: Ints
    actions: Ints
    latency_left_s: F64
    cost_left_usd: F64

    @classmethod
    def of(cls, situation: Situation) -> Batch:
        """One conversation, before the action of its turn."""
        return cls(
            np.array([situation.tasks], dtype=np.int64),
            np.array([situation.actions], dtype=np.int64).reshape(1, -1),
            np.array([situation.latency_left_s]),
            np.array([situation.cost_left_usd]),
        )

    def after(self, rows: Ints, actions: Ints, prices: Prices) -> Batch:
        """The conversations `rows`, each once its action is taken and paid for."""
        return Batch(
            self.tasks[rows],
            np.hstack([self.actions[rows], actions[:, None]]),
            self.latency_left_s[rows] - prices.latency_s[actions],
            self.cost_left_usd[rows] - prices.cost_usd[actions],
        )


class TmoConversation:
    """Takes the allowed action of the largest Q. `tails[t - 1]` is V_t for t = 1..4; None counts the future nothing."""

    name = "tmo"

    def __init__(
        self, model: ResponseModel, prices: Prices, chain: Chain, tails: Sequence[Network | None] = (None,) * (SPAN - 1)
    ) -> None:
        self.model = model
        self.prices = prices
        self.chain = chain
        self.tails = list(tails)
        self.gate = LookAhead(prices)

    def choose(self, situation: Situation) -> int:
        return int(np.argmax(self.q(Batch.of(situation), association_score(situation.association))[0]))

    def q(self, batch: Batch, association: F64 | None = None) -> F64:
        """[M, 9] Q of each action; -inf where the budgets forbid it. Without `association`: that of an average turn."""
        turn = batch.tasks.shape[1]
        related = self.chain.association if association is None else association
        response = self.model.scores(batch_codes(batch.tasks, batch.actions, self.model.task_count))
        q = self.chain.turn_weight[turn - 1] * rewards(response, related, self.prices)
        allowed = self.gate.allowed_in_each(batch.latency_left_s, batch.cost_left_usd, SPAN - turn)
        tail = self.tails[turn - 1] if turn < SPAN else None
        if tail is not None:
            rows, actions = np.nonzero(allowed)
            after = batch.after(rows, actions, self.prices)
            q[rows, actions] += self.chain.goes_on[turn - 1] * tail(self.features(after))
        return np.where(allowed, q, -np.inf)

    def features(self, after: Batch) -> F32:
        """[M, t * (T + 9) + 6] float32 of conversations after turn t: tasks and actions one-hot, and the budgets."""
        count, turn = after.tasks.shape
        width = self.model.task_count + ACTIONS
        features = np.zeros((count, turn * width + BUDGET_FEATURES), dtype=np.float32)
        rows = np.arange(count)
        for at in range(turn):
            features[rows, at * width + after.tasks[:, at]] = 1.0
            features[rows, at * width + self.model.task_count + after.actions[:, at]] = 1.0
        features[:, turn * width :] = self._budget_features(after, SPAN - turn)
        return features

    def _budget_features(self, after: Batch, turns_left: int) -> F64:
        """[M, 6]: of each budget, how much of the dearest rest of the conversation it pays for, how much of the dearest
        turn, and, up to a third, the former again: where budgets bind, small differences matter."""
        parts = []
        pairs = ((after.latency_left_s, self.prices.latency_s), (after.cost_left_usd, self.prices.cost_usd))
        for left, price in pairs:
            dearest = max(float(price.max()), 1e-12)
            rest = np.minimum(left / (turns_left * dearest), 1.0)
            parts += [rest, np.minimum(rest, 0.3) * 3.0, np.minimum(left / dearest, 1.0)]
        return np.stack(parts, axis=1)
