"""TMO for conversations: what it learns, that it looks ahead, and that no budget is ever broken."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge_agent.policy.conversation import ACTIONS, SPAN, Budget, Situation
from edge_agent.policy.response import batch_codes, turn_codes
from edge_agent.policy.tmo import Batch, Chain, TmoConversation
from edge_agent.sim.m4a1 import Environment, evaluate
from edge_agent.sim.m4a1_baselines import Greedy
from edge_agent.sim.m4a1_data import Conversations, parse_conversations
from edge_agent.sim.m4a1_prices import prices_of, published_local
from edge_agent.sim.small_net import fit
from edge_agent.sim.tmo_training import Planner, chain_of, play, train_tmo
from m4a1 import conversation, drawn, turn

WIRED = prices_of(published_local("tx2"), "wired")
FOUR_G = prices_of(published_local("tx2"), "4g")


def parsed(seed: int = 0, count: int = 40) -> Conversations:
    return parse_conversations(json.dumps(drawn(count, seed)), "M4A1.json")


@pytest.fixture(scope="module")
def trained() -> tuple[TmoConversation, Environment]:
    train, _ = parsed().split(0)
    environment = Environment(train, 4, WIRED)
    return train_tmo(environment, seed=0, episodes=600, epochs=4), environment


def test_codes_of_a_batch_are_those_of_each_conversation() -> None:
    random = np.random.default_rng(0)
    for turns in range(1, 8):
        tasks, actions = random.integers(0, 4, (20, turns)), random.integers(0, ACTIONS, (20, turns - 1))
        each = [turn_codes(t, a, 4) for t, a in zip(tasks.tolist(), actions.tolist(), strict=True)]
        assert batch_codes(tasks, actions, 4).tolist() == each


def test_the_chain_is_counted_on_the_training_conversations() -> None:
    short = [conversation(turn("A"), turn("B")) for _ in range(3)]
    document = [*short, conversation(turn("B"), turn("B"), turn("A"), turn("A")), *short]
    chain = chain_of(parse_conversations(json.dumps(document), "").conversations, 2)
    assert chain.turn_weight == pytest.approx([(6 / 2 + 1 / 4) / 7, (6 / 2 + 1 / 4) / 7, 1 / 4, 1 / 4, 1 / 5])
    assert chain.goes_on == pytest.approx([1, 1 / 7, 1, 0, 0])
    assert chain.first_task == pytest.approx([7 / 9, 2 / 9])
    assert chain.next_task == pytest.approx(np.array([[2 / 9, 7 / 9], [2 / 4, 2 / 4]]))


def test_a_network_learns_a_function_and_starts_from_its_seed() -> None:
    random = np.random.default_rng(0)
    features = random.uniform(-1, 1, (2048, 3)).astype(np.float32)
    targets = np.abs(features[:, 0]) + features[:, 1] * features[:, 2] + 5.0
    network = fit(features, targets, 32, 40, np.random.default_rng(1))
    assert np.std(network(features) - targets) < 0.15 * np.std(targets)
    again = fit(features, targets, 32, 40, np.random.default_rng(1))
    assert np.array_equal(network(features), again(features))


def test_fewer_rows_than_a_batch_are_enough() -> None:
    features = np.eye(4, dtype=np.float32)
    assert np.isfinite(fit(features, np.arange(4.0), 8, 3, np.random.default_rng(0))(features)).all()


def test_training_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    train, _ = parsed().split(0)
    environment = Environment(train, 4, WIRED)
    batch = Batch(np.array([[1, 2]]), np.array([[3]]), np.array([20.0]), np.array([0.03]))
    one, same, other = (train_tmo(environment, s, episodes=300, epochs=2).q(batch) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_reward_now_is_given_up_for_a_larger_one_later() -> None:
    """The cloud scores 0.6 more than local now, but the next turn scores 4 after local and 0 after the cloud."""
    first_local = conversation(turn("A", 0, score=1.0), turn("B", 1, score=4.0))
    first_text = conversation(turn("A", 1, score=1.6), turn("B", 1, score=0.0))
    stays = conversation(turn("A", 1, score=1.6), turn("B", 0, score=0.0))
    document = [first_local, first_text, stays] * 10
    read = parse_conversations(json.dumps(document), "")
    environment = Environment(read.conversations, 2, WIRED)
    first = Situation((0,), (), np.array([0.2, 0.3, 0.25]), 30.0, 0.05, SPAN - 1)
    policy, greedy = train_tmo(environment, 0, episodes=600, epochs=20), Greedy(environment)
    assert greedy.choose(first) != 0
    assert policy.choose(first) == 0
    paid = [evaluate(environment, lambda _, p=p: p, read.conversations, Budget())["reward"] for p in (policy, greedy)]
    assert paid[0] > paid[1] + 0.5


@pytest.mark.parametrize("prices", [WIRED, FOUR_G], ids=["wired", "4g"])
@pytest.mark.parametrize("budget", [Budget(), Budget(7.0, 0.004), Budget(40.0, 0.0006), Budget(0.2, 1.0)])
def test_no_budget_is_exceeded_whether_trained_on_or_not(
    trained: tuple[TmoConversation, Environment], prices: object, budget: Budget
) -> None:
    policy, environment = trained
    moved = Environment(environment.train, 4, prices)  # type: ignore[arg-type]
    elsewhere = TmoConversation(policy.model, moved.prices, policy.chain, policy.tails)
    figures = evaluate(moved, lambda _: elsewhere, parsed(seed=9).conversations, budget)
    assert figures["exceeded"] == 0
    assert figures["latency_s_max"] <= budget.latency_s + 1e-9
    assert figures["cost_usd_max"] <= budget.cost_usd + 1e-12


def test_a_tail_that_wants_the_dearest_cannot_break_a_budget(trained: tuple[TmoConversation, Environment]) -> None:
    """The look-ahead holds whatever the networks say."""
    policy, environment = trained
    layers = [tail.layers for tail in policy.tails if tail is not None]
    wild = [replace(t, scale=1e6) for t in policy.tails if t is not None]
    assert len(layers) == SPAN - 1
    mad = TmoConversation(policy.model, policy.prices, policy.chain, wild)
    figures = evaluate(environment, lambda _: mad, environment.train, Budget(20.0, 0.02))
    assert figures["exceeded"] == 0


def test_the_planner_looks_a_turn_further_and_keeps_the_budgets(trained: tuple[TmoConversation, Environment]) -> None:
    """With networks that know nothing of the future, only playing the next turn out can see what it is worth."""
    policy, environment = trained
    blind = TmoConversation(policy.model, policy.prices, policy.chain)
    figures = evaluate(environment, lambda _: Planner(policy), environment.train, Budget(9.0, 0.01))
    assert figures["exceeded"] == 0
    last = Situation((0,) * SPAN, (0,) * (SPAN - 1), np.array([0.2, 0.3, 0.25]), 30.0, 0.05, 0)
    assert Planner(blind).choose(last) == blind.choose(last)
    document = [
        conversation(turn("A", 0, score=1.0), turn("B", 1, score=4.0)),
        conversation(turn("A", 1, score=1.6), turn("B", 1, score=0.0)),
    ] * 10
    read = parse_conversations(json.dumps(document), "")
    talks = Environment(read.conversations, 2, WIRED)
    untrained = TmoConversation(talks.model, WIRED, chain_of(read.conversations, 2))
    first = Situation((0,), (), np.array([0.2, 0.3, 0.25]), 30.0, 0.05, SPAN - 1)
    assert untrained.choose(first) != 0
    assert Planner(untrained).choose(first) == 0


def test_only_allowed_actions_have_a_value(trained: tuple[TmoConversation, Environment]) -> None:
    policy, _ = trained
    batch = Batch(np.array([[0]]), np.zeros((1, 0), np.int64), np.array([5.0]), np.array([0.0001]))
    q = policy.q(batch)[0]
    assert np.isfinite(q[0])
    assert np.isneginf(q[1:]).all()


def test_play_follows_the_agents_own_actions_and_pays_for_them(trained: tuple[TmoConversation, Environment]) -> None:
    policy, _ = trained
    played = play(policy, 3, 200, np.random.default_rng(5))
    assert played.tasks.shape == played.actions.shape == (len(played.tasks), 3)
    assert (played.latency_left_s >= 0).all()
    assert (played.cost_left_usd >= -1e-12).all()
    assert len(np.unique(played.actions)) == ACTIONS, "exploration reaches every action"


def test_a_chain_without_long_conversations_still_trains() -> None:
    document = [conversation(turn("A", score=1.0 + i % 3)) for i in range(12)]
    read = parse_conversations(json.dumps(document), "")
    environment = Environment(read.conversations, 1, WIRED)
    policy = train_tmo(environment, 0, episodes=300, epochs=1)
    assert isinstance(policy.chain, Chain)
    assert policy.chain.goes_on[0] == 0.0
    evaluate(environment, lambda _: policy, read.conversations, Budget())
