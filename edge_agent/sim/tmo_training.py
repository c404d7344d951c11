"""Trains `tmo` on training conversations: fitted value iteration, backwards from the last turn, in seconds.

The agent plays conversations of its own: tasks are drawn from the chain of the training conversations, budgets at
random, and the response to each action comes from the response model, with the history that the agent itself made. So
a transition follows the agent's action, and both budgets are in the state. What is fitted to V_t is the expectation,
over the next task, of the best allowed Q in turn t + 1. Deterministic from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edge_agent.policy.conversation import F64, SPAN, Budget, Situation, association_score
from edge_agent.policy.tmo import Batch, Chain, Ints, Network, TmoConversation
from edge_agent.sim.m4a1 import Environment
from edge_agent.sim.m4a1_data import Conversation
from edge_agent.sim.small_net import fit

EPISODES = 8000  # conversations played per turn
EPOCHS = 30
HIDDEN = 64
SHARE_AT_USUAL = 0.3  # of the conversations that start with the paper's budgets; the others start with any
USUAL = Budget()
TEMPERATURES = (0.02, 2.0)  # of the exploring softmax, drawn log-uniformly


def chain_of(train: Sequence[Conversation], task_count: int) -> Chain:
    """How the training conversations go. Transitions are counted with one added to each (Laplace)."""
    turns = np.array([len(c.turns) for c in train])
    reached = [turns[turns >= t] for t in range(1, SPAN + 1)]
    following = np.ones((task_count, task_count))
    first = np.ones(task_count)
    for conversation in train:
        first[conversation.tasks[0]] += 1
        for task, after in pairwise(conversation.tasks):
            following[task, after] += 1
    return Chain(
        turn_weight=np.array([float(np.mean(1.0 / n)) if len(n) else 1.0 / SPAN for n in reached]),
        goes_on=np.array([float(np.mean(n > t)) if len(n) else 0.0 for t, n in enumerate(reached, 1)]),
        first_task=first / first.sum(),
        next_task=following / following.sum(axis=1, keepdims=True),
        association=np.mean([association_score(row) for c in train for row in c.association], axis=0),
    )


def train_tmo(environment: Environment, seed: int, episodes: int = EPISODES, epochs: int = EPOCHS) -> TmoConversation:
    """A policy that has seen the environment's training conversations and nothing else."""
    chain = chain_of(environment.train, environment.model.task_count)
    policy = TmoConversation(environment.model, environment.prices, chain)
    random = np.random.default_rng(seed)
    for turn in range(SPAN - 1, 0, -1):
        played = play(policy, turn, episodes, random)
        policy.tails[turn - 1] = _fit_tail(policy, played, epochs, random)
    return policy


def _fit_tail(policy: TmoConversation, played: Batch, epochs: int, random: np.random.Generator) -> Network:
    return fit(policy.features(played), expected_best(policy, played), HIDDEN, epochs, random)


def expected_best(policy: TmoConversation, after: Batch) -> F64:
    """[M] what comes after: the best allowed Q of the next turn, in expectation over its task."""
    best = np.zeros(len(after.tasks))
    last = after.tasks[:, -1]
    for task in range(policy.model.task_count):
        tasks = np.hstack([after.tasks, np.full((len(last), 1), task, dtype=np.int64)])
        q = policy.q(Batch(tasks, after.actions, after.latency_left_s, after.cost_left_usd))
        best += policy.chain.next_task[last, task] * q.max(axis=1)
    return best


class Planner:
    """`tmo` with the next turn played out exactly, over all its tasks and actions, before the networks are asked.

    Some forty times the work of a decision. It says what is left to gain for a policy that is not told the future.
    """

    name = "planner"

    def __init__(self, policy: TmoConversation) -> None:
        self._policy = policy

    def choose(self, situation: Situation) -> int:
        batch, policy = Batch.of(situation), self._policy
        turn = len(situation.tasks)
        if turn >= SPAN:
            return policy.choose(situation)
        here = TmoConversation(policy.model, policy.prices, policy.chain)  # this turn's part alone
        q = here.q(batch, association_score(situation.association))
        rows, actions = np.nonzero(np.isfinite(q))
        following = expected_best(policy, batch.after(rows, actions, policy.prices))
        q[rows, actions] += policy.chain.goes_on[turn - 1] * following
        return int(np.argmax(q[0]))


def play(policy: TmoConversation, turns: int, episodes: int, random: np.random.Generator) -> Batch:
    """Conversations of `turns` turns, each action drawn by its Q: at times nearly the best one, at times any."""
    latency_s, cost_usd = starting_budgets(policy, episodes, random)
    count = len(latency_s)
    batch = Batch(np.zeros((count, 0), np.int64), np.zeros((count, 0), np.int64), latency_s, cost_usd)
    for turn in range(1, turns + 1):
        tasks = np.hstack([batch.tasks, _next_tasks(policy.chain, batch.tasks, random)])
        batch = Batch(tasks, batch.actions, batch.latency_left_s, batch.cost_left_usd)
        q = policy.q(batch)
        low, high = np.log(TEMPERATURES)
        heat = policy.chain.turn_weight[turn - 1] * np.exp(random.uniform(low, high, (count, 1)))
        drawn = np.argmax(q + heat * random.gumbel(size=q.shape), axis=1)
        batch = batch.after(np.arange(count), drawn, policy.prices)
    return batch


def starting_budgets(policy: TmoConversation, episodes: int, random: np.random.Generator) -> tuple[F64, F64]:
    """Seconds and USD, each uniform up to the dearest conversation, a share as in the paper; hopeless ones left out."""
    latency_s = random.uniform(0.0, SPAN * float(policy.prices.latency_s.max()), episodes)
    cost_usd = random.uniform(0.0, SPAN * float(policy.prices.cost_usd.max()), episodes)
    usual = random.random(episodes) < SHARE_AT_USUAL
    latency_s[usual], cost_usd[usual] = USUAL.latency_s, USUAL.cost_usd
    kept = policy.gate.allowed_in_each(latency_s, cost_usd, SPAN - 1).any(axis=1)
    return latency_s[kept], cost_usd[kept]


def _next_tasks(chain: Chain, tasks: Ints, random: np.random.Generator) -> Ints:
    """[M, 1] drawn from the chain."""
    probable = chain.next_task[tasks[:, -1]] if tasks.shape[1] else np.tile(chain.first_task, (len(tasks), 1))
    reached = probable.cumsum(axis=1) < random.random((len(tasks), 1))
    return np.asarray(np.minimum(reached.sum(axis=1, keepdims=True), len(chain.first_task) - 1))
