"""TMO in the running agent: kinds of question, the measured table, a conversation's budgets, learning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config import PolicySettings
from edge_agent.policy.conversation import SPAN
from edge_agent.policy.tmo_agent import TmoPolicy
from edge_agent.policy.tmo_plan import Choice, Rest
from edge_agent.policy.tmo_responses import (
    NOTHING_KNOWN,
    TASKS,
    Responses,
    task_of,
)
from edge_agent.types import (
    Action,
    Decision,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
    Turn,
)

COUNT = TASKS.index("count")
IMAGE = ImageFeatures(640, 480, 7.0, np.full((2, 2), 7.0, np.float32), 0.2, 900.0)
ONLINE = SystemState(
    cloud_configured=True,
    uplink_mbps=10.0,
    embedding_bytes_estimate=10_000,
    sound_bytes_estimate=5_000,
    cloud_cost_estimate_usd=0.001,
    cloud_latency_estimate_ms=500.0,
    local_latency_estimate_ms=100.0,
)


def table(local: float, cloud: float, asked: float = 400.0, **changed: Any) -> Responses:
    """The same shares for every kind of question."""
    rows = len(TASKS)
    return replace(
        NOTHING_KNOWN,
        right=((local * asked, cloud * asked),) * rows,
        asked=((asked, asked),) * rows,
        **changed,
    )


def policy(responses: Responses, seconds: float = 30.0, usd: float = 0.05) -> TmoPolicy:
    return TmoPolicy(PolicySettings(name="tmo", conversation_s=seconds, conversation_usd=usd), responses)


def asking(question: str = "how many chairs are there?", sound: bool = False) -> ModalityFeatures:
    flux = np.ones(4, np.float32)
    heard = SoundFeatures(16000, 512, 160, flux, flux, flux, flux, flux) if sound else None
    return ModalityFeatures(image=IMAGE, sound=heard, question=question)


def outcome(decision: Decision, latency_ms: float = 500.0, cost_usd: float = 0.001, **changed: Any) -> Outcome:
    fields: dict[str, Any] = {"bytes_up": 1, "confidence": 0.5}
    return Outcome(decision, decision.route, latency_ms, cost_usd=cost_usd, **(fields | changed))


TURN = Turn("what is it?", "a cup")


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("What do you hear?", "sound"),
        ("How many chairs are on the left?", "count"),
        ("what colour is the wall", "colour"),
        ("Is there a cat?", "presence"),
        ("what is on the left side of the oven", "place"),
        ("what animal is it?", "identify"),
        ("", "identify"),
    ],
)
def test_the_kind_of_a_question_by_its_words(question: str, task: str) -> None:
    assert TASKS[task_of(question)] == task


def test_the_better_location_is_chosen_where_both_budgets_are_wide() -> None:
    assert policy(table(0.5, 0.9)).decide(asking(), ONLINE, ()).route is Route.CLOUD
    assert policy(table(0.9, 0.5)).decide(asking(), ONLINE, ()).route is Route.LOCAL
    assert policy(table(0.7, 0.7)).decide(asking(), ONLINE, ()).route is Route.LOCAL  # as good, and cheaper


def test_the_decision_names_its_numbers() -> None:
    decision = policy(table(0.5, 0.9)).decide(asking(), ONLINE, ())
    assert decision.predicted_quality == pytest.approx(0.9)
    assert (decision.predicted_latency_ms, decision.predicted_cost_usd) == (500.0, 0.001)
    assert decision.predicted_bytes == 10_000
    assert decision.reason.startswith("count, turn 1, 30.0 s and 0.0500 USD left: cloud with image")


def test_only_the_modality_that_the_question_asks_for_goes_up_on_a_slow_link() -> None:
    both = replace(
        ONLINE, encodable=(Modality.IMAGE, Modality.AUDIO), uplink_mbps=0.05, cloud_latency_estimate_ms=4000.0
    )
    decision = policy(table(0.1, 0.9)).decide(asking("what do you hear? listen to the noise", sound=True), both, ())
    actions = {plan.modality: plan.action for plan in decision.plans}
    assert actions == {Modality.IMAGE: Action.KEEP, Modality.AUDIO: Action.UPLOAD}
    fast = replace(both, uplink_mbps=1000.0, cloud_latency_estimate_ms=100.0)
    whole = policy(table(0.1, 0.9)).decide(asking("what do you see and hear?", sound=True), fast, ())
    assert {plan.action for plan in whole.plans} == {Action.UPLOAD}


def test_sound_that_no_encoder_reads_is_dropped() -> None:
    decision = policy(table(0.1, 0.9)).decide(asking(sound=True), ONLINE, ())
    assert {p.modality: p.action for p in decision.plans} == {
        Modality.IMAGE: Action.UPLOAD,
        Modality.AUDIO: Action.DROP,
    }


def test_without_evidence_the_device_answers() -> None:
    decision = policy(table(0.1, 0.9)).decide(ModalityFeatures(question="why?"), ONLINE, ())
    assert (decision.route, decision.plans) == (Route.LOCAL, ())


def test_a_scarce_budget_is_kept_for_the_questions_that_gain_most() -> None:
    """One cloud answer can be paid, and all five turns come: `presence` gains 0.4 in the cloud, `count` 0.9."""
    right = [(0.4 * 4000, 0.8 * 4000)] * len(TASKS)
    right[COUNT] = (0.05 * 4000, 0.95 * 4000)
    responses = replace(table(0.0, 0.0, asked=4000), right=tuple(right), goes_on=(1.0, 1.0, 1.0, 1.0, 0.0))
    presence, count = asking("is there a cat?"), asking("how many cats?")
    scarce = replace(ONLINE, cloud_cost_estimate_usd=0.03, cloud_latency_estimate_ms=100.0)
    assert policy(responses).decide(presence, scarce, ()).route is Route.LOCAL, "a better use may come"
    assert policy(responses).decide(count, scarce, ()).route is Route.CLOUD, "this is it"
    assert policy(responses).decide(presence, scarce, (TURN,) * 4).route is Route.CLOUD, "nothing comes any more"


def test_what_a_turn_really_took_counts_against_the_conversation() -> None:
    asked = policy(table(0.1, 0.9), usd=0.0025)
    first = asked.decide(asking(), ONLINE, ())
    assert first.route is Route.CLOUD
    asked.observe(outcome(first, cost_usd=0.0025))
    assert asked.decide(asking(), ONLINE, (TURN,)).route is Route.LOCAL
    assert asked.decide(asking(), ONLINE, ()).route is Route.CLOUD, "a new conversation has its own budgets"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1.0, 9000.0), st.floats(0.0, 0.02)), min_size=SPAN, max_size=SPAN),
    st.floats(0.2, 60.0),
    st.floats(0.0, 0.05),
    st.floats(1.0, 50.0),
)
def test_no_conversation_passes_a_budget_that_the_estimates_keep(
    turns: list[tuple[float, float]], seconds: float, usd: float, local_ms: float
) -> None:
    """The cloud's price changes from turn to turn; the device's does not, and five of its turns fit."""
    seconds = max(seconds, 0.001 * local_ms * SPAN)
    asked = policy(table(0.1, 0.9), seconds=seconds, usd=usd)
    history: tuple[Turn, ...] = ()
    spent_s = spent_usd = 0.0
    for cloud_ms, price in turns:
        state = replace(
            ONLINE,
            cloud_latency_estimate_ms=cloud_ms,
            cloud_cost_estimate_usd=price,
            local_latency_estimate_ms=local_ms,
        )
        decision = asked.decide(asking(), state, history)
        took_ms = decision.predicted_latency_ms or 0.0
        cost = decision.predicted_cost_usd or 0.0
        asked.observe(outcome(decision, took_ms, cost))
        spent_s, spent_usd = spent_s + took_ms / 1000, spent_usd + cost
        history = (*history, TURN)
    assert spent_s <= seconds + 1e-9
    assert spent_usd <= usd + 1e-12


def test_confident_answers_raise_a_location_and_doubtful_ones_lower_it() -> None:
    asked = policy(table(0.6, 0.65, asked=50.0))
    before = asked.response(COUNT, 1)
    decision = asked.decide(asking(), ONLINE, ())
    for _ in range(50):
        asked.observe(_cloud(decision, 0.1))
    assert asked.response(COUNT, 1) < before - 0.1
    assert asked.decide(asking(), ONLINE, ()).route is Route.LOCAL
    low = asked.response(COUNT, 1)
    for _ in range(300):
        asked.observe(_cloud(decision, 1.0))
    assert asked.response(COUNT, 1) > low + 0.2


def _cloud(decision: Decision, confidence: float) -> Outcome:
    return Outcome(decision, Route.CLOUD, 500.0, 1, 0.001, confidence)


def test_outcomes_of_other_policies_cost_but_do_not_teach() -> None:
    asked = policy(table(0.6, 0.7))
    before = asked.response(COUNT, 1)
    foreign = Decision(Route.CLOUD, "cloud", "as asked")
    for _ in range(20):
        asked.observe(_cloud(foreign, 0.0))
    assert asked.response(COUNT, 1) == before
    assert asked.left(2)[0] == pytest.approx(29.0)


def test_what_is_remembered_stays_bounded() -> None:
    asked = policy(table(0.6, 0.7))
    decision = asked.decide(asking(), ONLINE, ())
    for _ in range(3000):
        asked.observe(_cloud(decision, 0.5))
    assert asked.response(COUNT, 1) == pytest.approx(0.5, abs=0.02)
    assert asked.left(1000)[0] == pytest.approx(30.0 - 4 * 0.5)


def test_a_device_too_slow_for_the_budget_answers_all_the_same() -> None:
    slow = replace(ONLINE, local_latency_estimate_ms=20_000.0, cloud_latency_estimate_ms=30_000.0)
    decision = policy(table(0.5, 0.9)).decide(asking(), slow, ())
    assert decision.route is Route.LOCAL
    assert "device breaks a budget" in decision.reason


def test_the_value_of_the_rest_is_that_of_hand_arithmetic() -> None:
    """One more turn comes for sure, then none; half of its questions gain 0.3 in the cloud, half lose 0.1."""
    local, cloud = Choice((), 1.0, 0.0, 0.5), Choice((Modality.IMAGE,), 2.0, 0.01, 0.5)
    rest = Rest(local, cloud, [(0.5, 0.4, 0.7), (0.5, 0.5, 0.4)], (0.0, 0.0, 0.0, 1.0))
    assert rest.value(4, 10.0, 0.05) == pytest.approx(0.5 * 0.7 + 0.5 * 0.5)
    assert rest.value(4, 10.0, 0.005) == pytest.approx(0.5 * 0.4 + 0.5 * 0.5)
    assert rest.value(3, 10.0, 0.05) == 0.0
    assert rest.value(5, 10.0, 0.05) == 0.0
