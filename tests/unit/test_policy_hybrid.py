"""Hybrid: when it drafts, what it sends by the draft, and what a draft teaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import PolicySettings
from edge_agent.policy.hybrid import HybridPolicy
from edge_agent.policy.predictors import NOTHING_KNOWN, NodeModel, Predictors
from edge_agent.policy.qlmio import QlmioPolicy
from edge_agent.turn import judge
from edge_agent.types import Action, Generation, Modality, Route, SoundFeatures, SystemState
from nodes import IMAGE, ONLINE, SETTINGS, asking, linear, node, outcome, pair


def informed(slope: float = 1.0, spread: float = 0.2, mean: float = 0.0) -> Predictors:
    """Equal nodes, of which the draft tells where the cloud is better."""
    return pair(node(0.6, 5.0), node(0.6, 20.0, "cloud", slope=slope, mean=mean, spread=spread))


def test_hybrid_drafts_first_and_sends_what_is_worth_its_price() -> None:
    decision = HybridPolicy(SETTINGS, informed()).decide(asking(), ONLINE, ())
    assert decision.route is Route.CASCADE
    assert decision.min_gain is not None
    assert 0.0 < decision.min_gain < 0.05
    assert decision.accept_entropy == SETTINGS.accept_entropy
    assert [(p.modality, p.action) for p in decision.plans] == [(Modality.IMAGE, Action.UPLOAD)]


def test_hybrid_asks_more_of_a_gain_the_dearer_it_is() -> None:
    def least(settings: PolicySettings = SETTINGS, state: SystemState = ONLINE) -> float:
        gain = HybridPolicy(settings, informed(spread=5.0)).decide(asking(), state, ()).min_gain
        assert gain is not None
        return gain

    plain = least()
    assert least(state=replace(ONLINE, uplink_mbps=1.0)) > plain
    assert least(state=replace(ONLINE, cloud_cost_estimate_usd=0.01)) == pytest.approx(plain + 0.1)
    assert least(replace(SETTINGS, second_worth=1.0)) > plain
    assert least(replace(SETTINGS, megabyte_worth=10.0)) == pytest.approx(plain + 0.0995)


def test_hybrid_stays_where_no_draft_will_gain_enough() -> None:
    decision = HybridPolicy(SETTINGS, informed(spread=0.001, mean=-0.1)).decide(asking(), ONLINE, ())
    assert decision.route is Route.LOCAL
    assert decision.predicted_bytes == 0


def test_hybrid_skips_a_draft_that_would_hardly_ever_stand() -> None:
    decision = HybridPolicy(SETTINGS, informed(mean=0.9, spread=0.05)).decide(asking(), ONLINE, ())
    assert decision.route is Route.CLOUD
    assert decision.min_gain is None


@pytest.mark.parametrize("word", [-0.5, -0.1, 0.1, 0.5])
def test_a_draft_goes_up_by_what_the_decision_makes_of_it(word: float) -> None:
    decision = HybridPolicy(SETTINGS, informed()).decide(asking(), ONLINE, ())
    draft = Generation("cup", 0.5, 0.4, 1, expected_gain=word)
    assert judge(draft, decision)[0] == (word < 0.0)
    backwards = HybridPolicy(SETTINGS, informed(slope=-1.0)).decide(asking(), ONLINE, ())
    assert judge(draft, backwards)[0] == (word > 0.0)


def views(overview: NodeModel, tiles: NodeModel) -> Predictors:
    nodes = {"edge-1t": node(0.6, 5.0), "cloud-overview": overview, "cloud-tiles": tiles}
    return Predictors({"many": 0}, nodes, "a pair")


def test_hybrid_sends_the_overview_alone_where_more_views_gain_less_than_they_cost() -> None:
    reads_five = replace(ONLINE, upload_views=5)
    dear = replace(node(0.6, 20.0, "cloud", mean=0.2, spread=0.01), device_ms=linear(400.0, many=0.0))
    overview = node(0.6, 20.0, "cloud", mean=0.19, spread=0.01)
    decision = HybridPolicy(SETTINGS, views(overview, dear)).decide(asking(), reads_five, ())
    assert (decision.route, [p.overview for p in decision.plans]) == (Route.CLOUD, [True])
    assert decision.predicted_bytes == 2000
    better = node(0.6, 20.0, "cloud", mean=0.4, spread=0.01)
    assert not HybridPolicy(SETTINGS, views(overview, better)).decide(asking(), reads_five, ()).plans[0].overview
    all_views = HybridPolicy(SETTINGS, views(overview, dear), all_views=True).decide(asking(), reads_five, ())
    assert not any(plan.overview for plan in all_views.plans)


def test_what_a_draft_chose_teaches_nothing_of_how_often_a_node_is_right() -> None:
    policy = HybridPolicy(SETTINGS, informed())
    for route, accepted in ((Route.LOCAL, None), (Route.CLOUD, False)) * 20:
        decision = policy.decide(asking(), ONLINE, ())
        assert decision.route is Route.CASCADE
        policy.observe(outcome(decision, route, 30.0, 0.1, draft_accepted=accepted))
    assert [row[1] for row in policy.state()["nodes"].values()] == [0.0, 0.0]


def test_a_calibrated_threshold_wins_over_the_price() -> None:
    decision = HybridPolicy(replace(SETTINGS, min_gain=0.125), informed()).decide(asking(), ONLINE, ())
    assert decision.min_gain == 0.125


def test_hybrid_keeps_here_what_nothing_can_be_sent_of() -> None:
    deaf = replace(ONLINE, encodable=())
    sound = np.ones(3, np.float32)
    heard = SoundFeatures(16000, 512, 160, sound, sound, sound, sound, sound)
    decision = HybridPolicy(SETTINGS, informed(mean=0.9)).decide(asking(sound=heard), deaf, ())
    assert decision.route is Route.LOCAL
    assert {p.action for p in decision.plans} == {Action.DROP}


@given(
    st.text(max_size=300),
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.floats(0, 1e6),
    st.booleans(),
)
def test_no_question_and_no_state_breaks_a_decision(
    question: str, mbps: float | None, rtt: float | None, cloud_ms: float | None, usd: float, seen: bool
) -> None:
    state = replace(
        ONLINE, uplink_mbps=mbps, rtt_ms=rtt, cloud_latency_estimate_ms=cloud_ms, cloud_cost_estimate_usd=usd
    )
    for policy in (QlmioPolicy(SETTINGS, NOTHING_KNOWN), HybridPolicy(SETTINGS, informed())):
        decision = policy.decide(asking(question, image=IMAGE if seen else None), state, ())
        assert decision.predicted_quality is not None
        assert 0.0 <= decision.predicted_quality <= 1.0
        assert decision.min_gain is None or -1.0 <= decision.min_gain <= 1.0
