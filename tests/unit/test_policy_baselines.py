"""Baselines: chance that replays, one feature, confidence alone, a bandit that learns, an oracle that is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import CloudSettings, PolicySettings
from edge_agent.policy import (
    POLICY_NAMES,
    CascadePolicy,
    OraclePolicy,
    RandomPolicy,
    ThresholdPolicy,
    UcbPolicy,
    make_policy,
)
from edge_agent.types import Action, ImageFeatures, ModalityFeatures, Outcome, Route, SystemState

ONLINE = SystemState(
    cloud_configured=True, embedding_bytes_estimate=9000, deadline_ms=1000.0, max_cost_usd=1.0, budget_left_usd=1.0
)
SETTINGS = PolicySettings(accept_entropy=0.1)


def asking(question: str = "what is this?", bits: float = 6.0) -> ModalityFeatures:
    return ModalityFeatures(ImageFeatures(64, 64, bits, np.ones((2, 2), np.float32), 0.2, 900.0), question=question)


def routes(policy: RandomPolicy, count: int = 400) -> list[Route]:
    return [policy.decide(asking(), ONLINE, ()).route for _ in range(count)]


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_every_name_makes_a_policy_of_that_name_that_decides(name: str) -> None:
    policy = make_policy(replace(SETTINGS, name=name), CloudSettings())
    decision = policy.decide(asking(), ONLINE, ())
    assert policy.name == name
    assert decision.policy == name
    assert decision.reason


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_chance_goes_up_as_often_as_it_is_told(share: float) -> None:
    drawn = routes(RandomPolicy(replace(SETTINGS, random_share=share)))
    assert drawn.count(Route.CLOUD) / len(drawn) == pytest.approx(share, abs=0.08)


def test_chance_replays_from_its_state() -> None:
    policy = RandomPolicy(SETTINGS)
    routes(policy, 17)
    kept = json.loads(json.dumps(policy.state()))
    later = routes(policy, 50)
    again = RandomPolicy(SETTINGS, seed=99)
    again.restore(kept)
    assert routes(again, 50) == later


def test_a_threshold_sends_what_is_above_it() -> None:
    policy = ThresholdPolicy(replace(SETTINGS, threshold_feature="entropy", threshold=0.5))
    assert policy.decide(asking(bits=5.0), ONLINE, ()).route is Route.CLOUD
    assert policy.decide(asking(bits=3.0), ONLINE, ()).route is Route.LOCAL


@pytest.mark.parametrize("feature", ["entropy", "edges", "laplacian", "length"])
def test_every_feature_can_be_the_one(feature: str) -> None:
    always = ThresholdPolicy(replace(SETTINGS, threshold_feature=feature, threshold=0.0))
    never = ThresholdPolicy(replace(SETTINGS, threshold_feature=feature, threshold=1.0))
    assert always.decide(asking("what is this thing?"), ONLINE, ()).route is Route.CLOUD
    assert never.decide(asking("what is this thing?"), ONLINE, ()).route is Route.LOCAL


def test_a_cascade_always_drafts_and_names_its_threshold() -> None:
    by_entropy = CascadePolicy(SETTINGS).decide(asking(), ONLINE, ())
    assert (by_entropy.route, by_entropy.accept_entropy, by_entropy.min_gain) == (Route.CASCADE, 0.1, None)
    by_gain = CascadePolicy(replace(SETTINGS, min_gain=0.03)).decide(asking(), ONLINE, ())
    assert by_gain.min_gain == 0.03
    assert "0.030" in by_gain.reason


@pytest.mark.parametrize("name", ["random", "threshold", "cascade", "ucb", "qlmio", "hybrid"])
def test_what_cannot_be_encoded_is_dropped_and_nothing_goes_up(name: str) -> None:
    settings = replace(SETTINGS, name=name, random_share=1.0, threshold=0.0)
    decision = make_policy(settings, CloudSettings()).decide(asking(), replace(ONLINE, encodable=()), ())
    assert decision.route is Route.LOCAL
    assert [p.action for p in decision.plans] == [Action.DROP]


def play(policy: UcbPolicy, rewards: dict[Route, float], rounds: int, state: SystemState = ONLINE) -> list[Route]:
    played = []
    for _ in range(rounds):
        decision = policy.decide(asking(), state, ())
        played.append(decision.route)
        policy.observe(Outcome(decision, decision.route, 0.0, 0, 0.0, rewards[decision.route]))
    return played


@pytest.mark.parametrize("best", [Route.LOCAL, Route.CLOUD])
def test_the_bandit_tries_both_and_settles_on_the_better(best: Route) -> None:
    rewards = {Route.LOCAL: 0.2, Route.CLOUD: 0.2} | {best: 0.9}
    played = play(UcbPolicy(SETTINGS), rewards, 300)
    assert set(played[:20]) == {Route.LOCAL, Route.CLOUD}
    assert played[-100:].count(best) > 85


def test_the_bandit_closes_an_arm_that_would_break_a_limit() -> None:
    late = replace(ONLINE, cloud_latency_estimate_ms=5000.0)
    poor = replace(ONLINE, cloud_cost_estimate_usd=0.5, budget_left_usd=0.1)
    for state in (late, poor):
        assert set(play(UcbPolicy(SETTINGS), {Route.LOCAL: 0.0, Route.CLOUD: 1.0}, 30, state)) == {Route.LOCAL}


def test_the_bandit_survives_saving() -> None:
    policy = UcbPolicy(SETTINGS)
    play(policy, {Route.LOCAL: 0.3, Route.CLOUD: 0.6}, 40)
    again = UcbPolicy(SETTINGS)
    again.restore(json.loads(json.dumps(policy.state())))
    assert play(again, {Route.LOCAL: 0.3, Route.CLOUD: 0.6}, 20) == play(
        policy, {Route.LOCAL: 0.3, Route.CLOUD: 0.6}, 20
    )


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (RandomPolicy, {"version": 1, "number": -3}),
        (RandomPolicy, {"version": 2, "number": "3"}),
        (UcbPolicy, {"version": 1, "plays": [[0.0, 0.0]], "rewards": []}),
        (UcbPolicy, {"version": 1, "plays": [[1.0, 0.0]] * 12, "rewards": [[7.0, 0.0]] * 12}),
        (UcbPolicy, {"version": 1, "plays": [[float("nan"), 0.0]] * 12, "rewards": [[0.0, 0.0]] * 12}),
    ],
)
def test_a_state_that_does_not_fit_is_refused(make: Callable[[PolicySettings], Any], state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make(SETTINGS).restore(state)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5000), st.floats(0, 5000))
def test_the_oracle_takes_what_will_be_worth_more(here: float, there: float, here_ms: float, there_ms: float) -> None:
    oracle = OraclePolicy(replace(SETTINGS, second_worth=0.1, usd_worth=0.0))
    oracle.tell((here, there, -9.0), (here_ms, there_ms, there_ms))
    up = there - 1e-4 * there_ms > here - 1e-4 * here_ms
    assert (oracle.decide(asking(), ONLINE, ()).route is Route.CLOUD) == up
    assert oracle.decide(asking(), ONLINE, ()).route is Route.LOCAL  # told once, for one question
