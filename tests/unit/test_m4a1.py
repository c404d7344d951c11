"""The M4A1 environment: splits, responses, rewards, prices, and the look-ahead that keeps budgets."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.policy.conversation import (
    ACTION_NAMES,
    ACTIONS,
    SPAN,
    VIEW_SETS,
    Budget,
    LookAhead,
    Prices,
    Situation,
    association_score,
)
from edge_agent.policy.response import RecordedTurn, ResponseModel, turn_codes
from edge_agent.sim.m4a1 import Environment, report
from edge_agent.sim.m4a1_baselines import Constant, Drawn, Greedy, Oracle
from edge_agent.sim.m4a1_data import Conversation
from edge_agent.sim.m4a1_prices import measured_local, prices_of, published_local
from edge_agent.sim.m4a1_table import CONVERSATION_POLICIES, Setting, over_seeds
from m4a1 import TASKS, conversation, drawn, parsed, turn

WIRED = prices_of(published_local("tx2"), "wired")


def test_the_nine_actions_are_local_text_and_each_set_of_views() -> None:
    assert ACTION_NAMES == (
        "local",
        "text",
        "view0",
        "view1",
        "view2",
        "view0+1",
        "view0+2",
        "view1+2",
        "view0+1+2",
    )


def by_hand(rows: list[RecordedTurn], tasks: tuple[int, ...], actions: tuple[int, ...], action: int) -> float:
    """The response score from its definition: 29 numbers a row, five nearest, weights 1/(d + 1e-6)."""

    def numbers(tasks: tuple[int, ...], actions: tuple[int, ...], action: int) -> list[int]:
        def bits(a: int) -> list[int]:
            return [int(a > 0), *(int(a > 0 and v in VIEW_SETS[a - 1]) for v in range(3))]

        state: list[int] = []
        for t in range(len(tasks) - SPAN, len(tasks)):
            before = [-1, 0, 0, 0] if t == 0 else bits(actions[t - 1]) if t > 0 else []
            state += [*before, tasks[t]] if t >= 0 else [-1] * 5
        return state + bits(action)

    asked = numbers(tasks, actions, action)
    table = sorted((numbers(r.tasks, r.actions, r.action)[::-1], at) for at, r in enumerate(rows))  # last column first
    near = sorted((math.dist(asked, row[::-1]), place, rows[at].score) for place, (row, at) in enumerate(table))[:5]
    weights = [1 / (d + 1e-6) for d, _, _ in near]
    return sum(w * score for w, (_, _, score) in zip(weights, near, strict=True)) / sum(weights)


@pytest.mark.parametrize("seed", range(4))
def test_the_response_is_that_of_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    rows = [row for c in parsed(drawn(20, seed)).conversations for row in c.rows()]
    model = ResponseModel(rows, len(TASKS))
    for length in (1, 2, 4, 5, 7):
        tasks = tuple(rng.randrange(4) for _ in range(length))
        actions = tuple(rng.randrange(ACTIONS) for _ in range(length - 1))
        scores = model.scores(np.array([turn_codes(tasks, actions, 4)]))[0]
        assert scores == pytest.approx([by_hand(rows, tasks, actions, a) for a in range(ACTIONS)])


def test_shared_ties_do_not_depend_on_the_order_of_rows() -> None:
    rows = [row for c in parsed(drawn(20)).conversations for row in c.rows()]
    codes = np.array([turn_codes((1, 2), (0,), 4), turn_codes((3,), (), 4)])
    shared = ResponseModel(rows, 4, "shared").scores(codes)
    assert shared == pytest.approx(ResponseModel(rows[::-1], 4, "shared").scores(codes))


def test_six_equal_rows_share_five_places() -> None:
    rows = [RecordedTurn((0,), (), 0, float(score)) for score in range(6)]
    codes = np.array([turn_codes((0,), (), 1)])
    assert ResponseModel(rows, 1, "shared").scores(codes)[0, 0] == pytest.approx(2.5)
    assert ResponseModel(rows, 1, "order").scores(codes)[0, 0] == pytest.approx(2.0)  # the first five: 0 1 2 3 4


def test_published_prices_of_the_tx2() -> None:
    assert WIRED.latency_s[0] == pytest.approx(0.011429, abs=1e-6)
    assert WIRED.cost_usd[0] == pytest.approx(15 * 0.0114286 * 0.1668 / 3.6e6, rel=1e-5)
    assert WIRED.latency_s[[1, 2, 5, 8]] == pytest.approx([6.46030, 4.76134, 6.24569, 6.98211])
    assert WIRED.cost_usd[[1, 4, 7, 8]] == pytest.approx([0.00049, 0.005, 0.00945, 0.01368])


def test_the_measured_price_of_the_device_is_the_mean_of_its_recorded_turns() -> None:
    rows = [turn(action=0, interaction_time=4.0, usage_cost=0.0001), turn(action=1, interaction_time=99.0)]
    read = parsed([conversation(*rows, turn(action=0, interaction_time=8.0, usage_cost=0.0003)) for _ in range(6)])
    assert measured_local(read.conversations) == pytest.approx((6.0, 0.0002))


def test_association_is_summed_over_the_views_and_spread_over_the_actions() -> None:
    scores = association_score([0.1, 0.2, 0.3])
    assert scores == pytest.approx([0, 0, 1 / 6, 2 / 6, 3 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert association_score([0.0, 0.0, 0.0]).tolist() == [0.0] * ACTIONS


def two_turn_set() -> tuple[Environment, Conversation]:
    """Every recorded score is 1, so that a reward is 1 plus what hand arithmetic gives for the rest."""
    read = parsed([conversation(turn(), turn("Recommendation", 1, [0])) for _ in range(10)])
    return Environment(read.conversations[:8], 2, WIRED), read.conversations[9]


def test_a_reward_is_that_of_hand_arithmetic() -> None:
    env, talk = two_turn_set()
    rolled = env.roll(Constant(2, "view0"), talk, Budget())
    slow = (4.76134 - 0.0114286) / (6.98211 - 0.0114286)
    cheap = WIRED.cost_usd[0]
    dear = (0.005 - cheap) / (0.01368 - cheap)
    associated = 0.2 / 0.75
    assert rolled.reward == pytest.approx(1 + (associated - slow - dear) / 3, abs=1e-5)
    assert rolled.response == pytest.approx(1.0)
    assert rolled.latency_s == pytest.approx(2 * 4.76134)
    assert rolled.cost_usd == pytest.approx(0.01)
    assert env.roll(Constant(0, "local"), talk, Budget()).reward == pytest.approx(1.0)


def test_the_history_is_the_policys_own_not_the_recorded_one() -> None:
    asked: list[Situation] = []

    class Watching:
        name = "watching"

        def choose(self, situation: Situation) -> int:
            asked.append(situation)
            return 8

    env, talk = two_turn_set()
    env.roll(Watching(), talk, Budget(30.0, 0.05))
    assert [s.actions for s in asked] == [(), (8,)]
    assert asked[1].latency_left_s == pytest.approx(30 - 6.98211)
    assert asked[1].cost_left_usd == pytest.approx(0.05 - 0.01368)
    assert [s.turns_after for s in asked] == [4, 3]


def test_excess_over_a_budget_is_reported_and_rounding_is_not() -> None:
    env, talk = two_turn_set()
    rolled = [env.roll(Constant(8, ""), talk, Budget())]
    over = report(rolled, Budget(10.0, 0.02))
    assert over["over_latency"] == pytest.approx(2 * 6.98211 - 10)
    assert over["over_cost"] == pytest.approx(2 * 0.01368 - 0.02)
    assert over["exceeded"] == 1
    exact = report(rolled, Budget(2 * 6.98211 - 1e-12, 2 * 0.01368))
    assert (exact["over_latency"], exact["over_cost"], exact["exceeded"]) == (0.0, 0.0, 0)


prices = st.builds(
    lambda seconds, usd: Prices(np.array(seconds), np.array(usd)),
    st.lists(st.floats(0.0, 20.0), min_size=ACTIONS, max_size=ACTIONS),
    st.lists(st.floats(0.0, 0.02), min_size=ACTIONS, max_size=ACTIONS),
)


@settings(max_examples=150, deadline=None)
@given(prices, st.floats(0.001, 120.0), st.floats(1e-5, 0.1), st.lists(st.integers(0, 8), min_size=5, max_size=5))
def test_whatever_is_wished_for_a_feasible_budget_is_kept(
    prices: Prices, seconds: float, usd: float, wishes: list[int]
) -> None:
    gate, budget = LookAhead(prices), Budget(seconds, usd)
    if not gate.feasible(budget):
        return
    spent_s = spent_usd = 0.0
    for at, wish in enumerate(wishes):
        allowed = gate.allowed(seconds - spent_s + 1e-12, usd - spent_usd + 1e-12, SPAN - 1 - at)
        assert allowed.any(), "a feasible conversation ran into a wall"
        action = wish if allowed[wish] else int(np.argmax(allowed))
        spent_s, spent_usd = spent_s + prices.latency_s[action], spent_usd + prices.cost_usd[action]
    assert spent_s <= seconds + 1e-9
    assert spent_usd <= usd + 1e-9


def test_the_look_ahead_forbids_no_more_than_it_must() -> None:
    """Fast and dear or slow and cheap: the last turns must be able to mix them."""
    fast_dear, slow_cheap = (1.0, 0.04), (9.0, 0.01)
    prices = Prices(np.array([fast_dear[0]] + [slow_cheap[0]] * 8), np.array([fast_dear[1]] + [slow_cheap[1]] * 8))
    gate = LookAhead(prices)
    assert gate.allowed(10.0, 0.05, 1).tolist() == [True] + [True] * 8  # one of each fits
    assert gate.allowed(9.9, 0.05, 1).tolist() == [False] + [False] * 8
    assert gate.allowed(10.0, 0.08, 1).tolist() == [True] * 9
    assert gate.allowed(2.0, 0.08, 1).tolist() == [True] + [False] * 8


def small_setting(**changed: Any) -> Setting:
    fields: dict[str, Any] = {"conversations": parsed(drawn(25)), "prices": WIRED, "budget": Budget()}
    return Setting(**(fields | changed))


@pytest.mark.parametrize(
    "name", [name for name in CONVERSATION_POLICIES if name not in ("tmo", "planner")]
)  # that one: test_tmo
def test_every_policy_is_the_same_for_the_same_seed(name: str) -> None:
    assert over_seeds(small_setting(), name, [3]) == over_seeds(small_setting(), name, [3])


def test_the_oracle_is_the_best_of_all_plans_and_keeps_the_budget() -> None:
    read = parsed(drawn(25))
    env = Environment(read.conversations[5:], 4, WIRED)
    budget = Budget(12.0, 0.02)
    talk = next(c for c in read.conversations if len(c.turns) == 3)
    best = -math.inf
    for plan in np.ndindex(*[ACTIONS] * 3):

        class Planned:
            name = "planned"
            wanted = plan

            def choose(self, situation: Situation) -> int:
                return int(self.wanted[len(situation.actions)])

        if WIRED.latency_s[list(plan)].sum() <= 12.0 and WIRED.cost_usd[list(plan)].sum() <= 0.02:
            best = max(best, env.roll(Planned(), talk, budget).reward)
    assert env.roll(Oracle(env, talk, budget), talk, budget).reward == pytest.approx(best)


def test_greedy_takes_the_largest_reward_of_the_turn() -> None:
    read = parsed(drawn(25))
    env, talk = Environment(read.conversations[5:], 4, WIRED), read.conversations[0]
    first = Situation(talk.tasks[:1], (), talk.association[0], 30.0, 0.05, 4)
    reward = env.reward(env.response(first.tasks, ()), association_score(first.association))
    assert Greedy(env).choose(first) == int(np.argmax(reward))


def test_a_drawn_policy_keeps_to_its_share() -> None:
    policy = Drawn("cloud", 0.0, 1)
    situation = Situation((0,), (), np.zeros(3), 30.0, 0.05, 4)
    assert 0 not in {policy.choose(situation) for _ in range(200)}
