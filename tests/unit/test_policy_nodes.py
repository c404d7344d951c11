"""Predictors and QLMIO: what is predicted, which node is chosen, what outcomes teach."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.policy.estimates import LARGEST_FACTOR, LARGEST_SHIFT, Estimator, NodeView
from edge_agent.policy.hybrid import HybridPolicy
from edge_agent.policy.qlmio import QlmioPolicy
from edge_agent.types import Route
from nodes import ONLINE, SETTINGS, asking, node, outcome, pair

BETTER_CLOUD = pair(node(0.4, 5.0), node(0.9, 20.0, "cloud"))
EQUAL = pair(node(0.7, 5.0), node(0.7, 20.0, "cloud"))


@pytest.mark.parametrize("question", ["How MANY, chairs?", "how many?", "many"])
def test_words_are_read_whatever_their_case_and_punctuation(question: str) -> None:
    assert BETTER_CLOUD.see(asking(question)).words == (0,)


def test_a_word_counts_once_however_often_it_is_said() -> None:
    assert BETTER_CLOUD.see(asking("many many many")).words == (0,)


def test_a_very_long_question_is_read_only_so_far() -> None:
    assert BETTER_CLOUD.see(asking("a " * 900 + "many")).words == ()


def test_qlmio_goes_where_quality_less_waiting_is_largest() -> None:
    assert QlmioPolicy(SETTINGS, BETTER_CLOUD).decide(asking(), ONLINE, ()).route is Route.CLOUD
    assert QlmioPolicy(SETTINGS, EQUAL).decide(asking(), ONLINE, ()).route is Route.LOCAL


def test_qlmio_chooses_by_the_question() -> None:
    only_counts = pair(node(0.8, 5.0, count=-4.0), node(0.8, 20.0, "cloud"))
    policy = QlmioPolicy(SETTINGS, only_counts)
    assert policy.decide(asking("how many cups?"), ONLINE, ()).route is Route.CLOUD
    assert policy.decide(asking("is it red?"), ONLINE, ()).route is Route.LOCAL


def test_qlmio_stays_where_the_link_is_too_slow_to_pay() -> None:
    slow = replace(ONLINE, uplink_mbps=0.01)
    assert QlmioPolicy(SETTINGS, BETTER_CLOUD).decide(asking(), slow, ()).route is Route.LOCAL


def test_qlmio_chooses_among_any_number_of_nodes() -> None:
    policy = QlmioPolicy(SETTINGS, BETTER_CLOUD)
    nodes = [
        NodeView("here", "edge-1t"),
        NodeView("busy", "cloud-overview", 50.0, 5.0, queue_ms=60_000.0),
        NodeView("free", "cloud-overview", 50.0, 5.0),
        NodeView("far", "cloud-overview", 0.001, 900.0),
    ]
    best, expected = policy.choose(asking(), nodes)
    assert nodes[best].name == "free"
    assert expected[1].latency_ms > 60_000
    with pytest.raises(ValueError, match="no node"):
        policy.choose(asking(), [])


def test_a_device_that_proves_slow_is_expected_to_be() -> None:
    policy = QlmioPolicy(SETTINGS, EQUAL)
    first = policy.decide(asking(), ONLINE, ())
    decision = first
    for _ in range(40):
        policy.observe(outcome(decision, Route.LOCAL, 400.0, 0.7))
        decision = policy.decide(asking(), ONLINE, ())
        if decision.route is not Route.LOCAL:
            break
    assert first.predicted_latency_ms is not None
    assert first.predicted_latency_ms < 30
    assert decision.route is Route.CLOUD


def test_a_device_that_proves_unsure_sends_more_up() -> None:
    nearly = pair(node(0.85, 5.0), node(0.852, 20.0, "cloud"))
    policy = QlmioPolicy(SETTINGS, nearly)
    decision = policy.decide(asking(), ONLINE, ())
    assert decision.route is Route.LOCAL
    for _ in range(60):
        policy.observe(outcome(decision, Route.LOCAL, 16.0, 0.2))
        decision = policy.decide(asking(), ONLINE, ())
        if decision.route is Route.CLOUD:
            break
    assert decision.route is Route.CLOUD


def test_what_a_failed_cloud_took_is_not_the_devices_speed() -> None:
    policy = QlmioPolicy(SETTINGS, EQUAL)
    decision = policy.decide(asking(), ONLINE, ())
    policy.observe(replace(outcome(decision, Route.LOCAL, 9000.0, 0.7), bytes_up=5000))
    assert policy.state()["nodes"]["local"][0] == 1.0


def test_outcomes_of_another_policy_teach_nothing() -> None:
    policy = QlmioPolicy(SETTINGS, EQUAL)
    decision = replace(policy.decide(asking(), ONLINE, ()), policy="msao")
    policy.observe(outcome(decision, Route.LOCAL, 9000.0))
    assert policy.state()["nodes"] == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Route.LOCAL, Route.CLOUD]),
            st.floats(0, 1e12),
            st.floats(0, 1),
            st.sampled_from([None, True, False]),
        ),
        max_size=60,
    )
)
def test_whatever_is_learned_stays_bounded_and_survives_saving(
    rows: list[tuple[Route, float, float, bool | None]],
) -> None:
    policy = HybridPolicy(SETTINGS, BETTER_CLOUD)
    for route, latency_ms, sure, accepted in rows:
        decision = policy.decide(asking(), ONLINE, ())
        policy.observe(outcome(decision, route, latency_ms, sure, draft_accepted=accepted))
    state = json.loads(json.dumps(policy.state()))
    for factor, shift, _, _ in state["nodes"].values():
        assert 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR
        assert abs(shift) <= LARGEST_SHIFT
    again = HybridPolicy(SETTINGS, BETTER_CLOUD)
    again.restore(state)
    assert again.decide(asking(), ONLINE, ()) == policy.decide(asking(), ONLINE, ())


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 2, "measured_with": "a pair", "nodes": {}},
        {"version": 1, "measured_with": "another pair", "nodes": {}},
        {"version": 1, "measured_with": "a pair", "nodes": []},
        {"version": 1, "measured_with": "a pair", "nodes": {"local": [1.0, 0.0]}},
        {"version": 1, "measured_with": "a pair", "nodes": {"local": [1e9, 0.0, 1, 1]}},
        {"version": 1, "measured_with": "a pair", "nodes": {"local": [1.0, float("nan"), 1, 1]}},
        {"version": 1, "measured_with": "a pair", "nodes": {str(i): [1.0, 0.0, 1, 1] for i in range(1000)}},
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state: dict[str, Any]) -> None:
    estimator = Estimator(BETTER_CLOUD)
    before = estimator.state()
    with pytest.raises(ValueError, match=r"."):
        estimator.restore(state)
    assert estimator.state() == before
