"""Predictors, QLMIO and hybrid: what is predicted, which node is chosen, what outcomes teach, what is set aside."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import PolicySettings
from edge_agent.policy import predictors as predicting
from edge_agent.policy.estimates import LARGEST_FACTOR, LARGEST_SHIFT, Estimator, NodeView
from edge_agent.policy.hybrid import HybridPolicy
from edge_agent.policy.predictors import (
    NOTHING_KNOWN,
    NUMBERS,
    Gain,
    Linear,
    NodeModel,
    Odds,
    Predictors,
    read_predictors,
)
from edge_agent.policy.qlmio import QlmioPolicy
from edge_agent.turn import judge
from edge_agent.types import (
    Action,
    Decision,
    Generation,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
)
from edge_agent.types.odds import logit

IMAGE = ImageFeatures(640, 480, 6.0, np.full((2, 2), 6.0, np.float32), 0.2, 900.0)
ONLINE = SystemState(cloud_configured=True, uplink_mbps=20.0, rtt_ms=20.0, embedding_bytes_estimate=10_000)
SETTINGS = PolicySettings(accept_entropy=0.1)


def linear(one: float, **words: float) -> Linear:
    return Linear((one, *(0.0,) * (len(NUMBERS) - 1)), tuple(words.values()))


def node(right: float, service_ms: float, place: str = "edge", count: float = 0.0, **gain: Any) -> NodeModel:
    """A node that is right with that probability, of other questions than those that say `many`."""
    quality, none = linear(logit(right), many=count), linear(0.0, many=0.0)
    up = 10_000 if place == "cloud" else 0
    gains = gaining(**gain)
    return NodeModel(
        place, quality, quality, (0.0,) * 3, replace(none, numbers=(10.0, *none.numbers[1:])), 0.0,
        linear(service_ms, many=0.0), 1.0, up, 100, gains,
    )  # fmt: skip


def gaining(slope: float = 0.0, mean: float = 0.0, spread: float = 0.0) -> Gain:
    """Of a cloud that alone is right of a half more or less: by `mean` before the draft, by `slope` times its word."""
    here = Odds(linear(0.0, many=0.0), (0.0, 0.0, -2.0 * slope), linear(0.0, many=0.0))
    told = linear(logit(0.5 + mean), many=0.0)
    return Gain(Odds(told, (0.0, 0.0, 2.0 * slope), told), here, spread)


def pair(local: NodeModel, cloud: NodeModel) -> Predictors:
    return Predictors({"many": 0}, {"edge-1t": local, "cloud-overview": cloud, "cloud-tiles": cloud}, "a pair")


def asking(question: str = "what is this?", **parts: Any) -> ModalityFeatures:
    return ModalityFeatures(question=question, **{"image": IMAGE, **parts})


def outcome(decision: Decision, route: Route, latency_ms: float, confidence: float = 0.5, **more: Any) -> Outcome:
    return Outcome(decision, route, latency_ms, 0, 0.0, confidence, **more)


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


def document(**changed: Any) -> dict[str, Any]:
    model = {"numbers": [0.0] * len(NUMBERS), "words": [0.5]}
    one = {
        "place": "edge", "quality": model, "drafted": model, "draft": [1.0, 0.0, 0.0], "device_ms": model,
        "megapixel_ms": 1.0, "service_ms": model, "overhead_ms": 1.0, "bytes_up": 0, "bytes_down": 0,
    }  # fmt: skip
    made = {
        "version": 2, "numbers": list(NUMBERS), "draft_numbers": list(predicting.DRAFT_NUMBERS), "words": ["many"],
        "nodes": {"edge-1t": one}, "measured_with": "a pair",
    }  # fmt: skip
    return made | changed


def test_a_model_file_is_read() -> None:
    read = read_predictors(json.dumps(document()))
    assert read.nodes["edge-1t"].right(read.see(asking("how many?"))) == pytest.approx(1 / (1 + np.exp(-0.5)))


def spoil(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    made = document()
    change(made["nodes"]["edge-1t"])
    return made


@pytest.mark.parametrize(
    "bad",
    [
        [],
        document(version=1),
        document(version=3),
        document(words="many"),
        document(words=["w"] * 2),
        document(numbers=["one"]),
        document(nodes={}),
        document(measured_with=None),
        spoil(lambda n: n.update(place="moon")),
        spoil(lambda n: n.update(draft=[1.0])),
        spoil(lambda n: n.pop("quality")),
        spoil(lambda n: n.update(megapixel_ms=float("inf"))),
        spoil(lambda n: n.update(gain=[1, 2])),
        spoil(lambda n: n.update(gain={"spread": -1.0})),
        spoil(lambda n: n.update(gain={"spread": 0.1, "cloud": {}, "device": {}})),
    ],
)
def test_a_model_file_that_does_not_fit_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_predictors(json.dumps(bad))


def test_without_its_file_a_policy_guesses_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(text: str) -> Predictors:
        raise ValueError("spoilt")

    monkeypatch.setattr(predicting, "read_predictors", missing)
    with caplog.at_level(logging.WARNING):
        found = predicting.shipped_predictors()
    assert found is NOTHING_KNOWN
    assert "spoilt" in caplog.text


def test_the_shipped_models_cover_what_the_agent_asks_of_them() -> None:
    shipped = predicting.shipped_predictors()
    assert shipped is not NOTHING_KNOWN
    assert {"edge-1t", "cloud-overview", "cloud-tiles"} <= set(shipped.nodes)
    seen = shipped.see(asking("how many chairs are there?"))
    for model in shipped.nodes.values():
        assert 0.0 < model.right(seen) < 1.0
        assert 1.0 < model.on_device_ms(seen) + model.in_decoder_ms(seen) < 5000.0
