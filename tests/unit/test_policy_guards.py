"""The guards, which win over any policy whatever it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.policy import ConstantPolicy, GuardedPolicy
from edge_agent.policy.guards import GUARDS
from edge_agent.types import (
    Action,
    Decision,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    Outcome,
    Route,
    SystemState,
    Turn,
)

PICTURE = ImageFeatures(640, 480, 6.0, np.full((15, 20), 6.0, np.float32), 0.1, 100.0)
ASKED = ModalityFeatures(question="what is on the table?", image=PICTURE)


class Reckless:
    """A policy that always uploads everything, whatever it is told."""

    name = "reckless"

    def __init__(self, route: Route) -> None:
        self._route = route

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        plans = (ModalityPlan(Modality.IMAGE, Action.UPLOAD, "int8-zstd"),)
        return Decision(self._route, self.name, "because", plans, accept_entropy=0.0, predicted_bytes=10**9)

    def observe(self, outcome: Outcome) -> None: ...


maybe_ms = st.none() | st.floats(0, 1e6)
states = st.builds(
    SystemState,
    cloud_configured=st.booleans(),
    cloud_reachable=st.sampled_from([None, True, False]),
    private=st.booleans(),
    deadline_ms=maybe_ms,
    max_cost_usd=st.none() | st.floats(0, 1),
    budget_left_usd=st.none() | st.floats(0, 1),
    cloud_cost_estimate_usd=st.floats(0, 1),
    cloud_latency_estimate_ms=maybe_ms,
)


class Homely(Reckless):
    """A policy that keeps everything at home."""

    name = "homely"

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        plans = (ModalityPlan(Modality.IMAGE, Action.KEEP), ModalityPlan(Modality.AUDIO, Action.DROP))
        return Decision(self._route, self.name, "because", plans, accept_entropy=0.0)


boards = st.builds(
    replace,
    states,
    temperature_celsius=st.none() | st.floats(-40, 150),
    memory_available_mb=st.none() | st.floats(0, 1e4),
    max_celsius=st.none() | st.floats(1, 150),
    min_memory_mb=st.none() | st.floats(1, 1e4),
)


@given(boards, st.sampled_from(list(Route)), st.booleans())
def test_no_policy_gets_the_decoder_to_run_on_a_board_that_is_too_hot_or_full(
    state: SystemState, route: Route, homely: bool
) -> None:
    inner = Homely(route) if homely else Reckless(route)
    decision = GuardedPolicy(inner).decide(ASKED, state, ())
    hot = None not in (state.max_celsius, state.temperature_celsius) and (
        state.temperature_celsius >= state.max_celsius  # type: ignore[operator]
    )
    full = None not in (state.min_memory_mb, state.memory_available_mb) and (
        state.memory_available_mb < state.min_memory_mb  # type: ignore[operator]
    )
    held = any(guard(state) for guard in GUARDS)
    if hot or full:
        assert decision.rests in decision.guards
        assert decision.rests.startswith("heat" if hot else "memory")
        assert decision.rests in decision.reason
        assert decision.route is (Route.LOCAL if held else Route.CLOUD), "LOCAL that rests is answered by nobody"
        assert decision.accept_entropy is None or decision.route is Route.LOCAL
    else:
        assert not decision.rests
    if held:
        assert all(p.action is not Action.UPLOAD for p in decision.plans)
    assert all(p.action is Action.DROP for p in decision.plans if p.modality is Modality.AUDIO)


@given(boards)
def test_what_the_policy_local_answers_never_leaves_whatever_the_heat(state: SystemState) -> None:
    decision = GuardedPolicy(ConstantPolicy(Route.LOCAL)).decide(ASKED, state, ())
    assert decision.route is Route.LOCAL
    assert all(p.action is not Action.UPLOAD for p in decision.plans)


@given(states, st.sampled_from(list(Route)))
def test_no_policy_gets_past_a_guard(state: SystemState, route: Route) -> None:
    decision = GuardedPolicy(Reckless(route)).decide(ASKED, state, ())
    late = None not in (state.deadline_ms, state.cloud_latency_estimate_ms) and (
        state.cloud_latency_estimate_ms > state.deadline_ms  # type: ignore[operator]
    )
    price = state.cloud_cost_estimate_usd
    dear = any(limit is not None and price > limit for limit in (state.max_cost_usd, state.budget_left_usd))
    offline = not state.cloud_configured or state.cloud_reachable is False
    if state.private or offline or dear or late:
        assert decision.route is Route.LOCAL
        assert all(p.action is not Action.UPLOAD for p in decision.plans)
        assert decision.guards
        assert decision.guards[0] in decision.reason
        assert decision.predicted_bytes == 0
    else:
        assert decision.route is route
        assert not decision.guards
