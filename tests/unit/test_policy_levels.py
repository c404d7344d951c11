"""How finely pictures are coded: the finest by default, coarser where bytes cost more than the answers they spare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import Config, PolicySettings
from edge_agent.policy.levels import Level, LevelledPolicy, Levels, read_levels, shipped_levels
from edge_agent.types import (
    Action,
    Decision,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    Outcome,
    Route,
    SystemState,
    Turn,
)

LEVELS = Levels("a basis", (Level(500, 0.0), Level(200, 0.001), Level(50, 0.01)))
UP = ModalityPlan(Modality.IMAGE, Action.UPLOAD, "projected", reason="complex")
SETTINGS = replace(Config().policy, second_worth=0.05, megabyte_worth=0.0)


class Sends:
    """Sends what it is told to."""

    name = "sends"

    def __init__(self, *plans: ModalityPlan) -> None:
        self._plans = plans
        self.outcomes: list[Outcome] = []

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        return Decision(Route.CLOUD, self.name, "told", self._plans, predicted_bytes=2500)

    def observe(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def decided(mbps: float | None, *plans: ModalityPlan, finest: int = 0, settings: PolicySettings = SETTINGS) -> Decision:
    policy = LevelledPolicy(Sends(*(plans or (UP,))), LEVELS, finest, settings)
    return policy.decide(ModalityFeatures(question="?"), SystemState(uplink_mbps=mbps, upload_views=5), ())


def test_on_a_usual_link_pictures_go_up_as_configured() -> None:
    for mbps in (None, 2.0, 1000.0):
        (plan,) = decided(mbps).plans
        assert plan is UP


def test_the_slower_the_uplink_the_coarser_the_picture() -> None:
    chosen = [decided(mbps).plans[0].level or 0 for mbps in (10.0, 0.3, 0.01, 1e-9)]
    assert chosen == sorted(chosen)
    assert set(chosen) == {0, 1, 2}
    slow = decided(0.01)
    assert slow.predicted_bytes == 250
    assert "coarsely" in slow.plans[0].reason


def test_dear_bytes_count_as_a_slow_uplink_does() -> None:
    dear = replace(SETTINGS, megabyte_worth=100.0)
    assert decided(1000.0, settings=dear).plans[0].level == 2


def test_nothing_finer_than_configured_is_taken() -> None:
    assert decided(1000.0, finest=1).plans[0].level is None
    assert decided(1e-6, finest=1).plans[0].level == 2
    assert decided(1e-6, finest=9).plans[0].level is None  # the coarsest is what was asked for


@pytest.mark.parametrize(
    "plan",
    [
        replace(UP, codec="int8-zstd"),
        replace(UP, codec="jpeg"),
        replace(UP, action=Action.KEEP, codec=None),
        ModalityPlan(Modality.AUDIO, Action.UPLOAD, "projected"),
    ],
)
def test_only_pictures_in_the_basis_have_a_level(plan: ModalityPlan) -> None:
    assert decided(1e-6, plan).plans == (plan,)


def test_the_inner_policy_learns_as_before() -> None:
    inner = Sends(UP)
    policy = LevelledPolicy(inner, LEVELS, 0, SETTINGS)
    outcome = Outcome(decided(1.0), Route.CLOUD, 10.0, 1, 0.0, 0.5)
    policy.observe(outcome)
    assert (inner.outcomes, policy.name) == ([outcome], "sends")


@given(
    rows=st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 1)), min_size=1, max_size=8),
    finest=st.integers(0, 9),
    views=st.integers(1, 16),
    worth=st.floats(0, 1),
)
def test_no_level_from_the_finest_on_costs_less(
    rows: list[tuple[int, float]], finest: int, views: int, worth: float
) -> None:
    levels = Levels("a basis", tuple(Level(*row) for row in rows))
    best = levels.best(finest, views, worth)
    prices = [views * size * worth + lost for size, lost in rows]
    assert min(finest, len(rows) - 1) <= best < len(rows)
    assert prices[best] == min(prices[min(finest, len(rows) - 1) :])


def test_the_shipped_table_is_of_finer_and_dearer_levels_first() -> None:
    levels = shipped_levels()
    assert levels is not None
    sizes = [level.view_bytes for level in levels.of]
    assert sizes == sorted(sizes, reverse=True)
    assert [level.lost for level in levels.of] == sorted(level.lost for level in levels.of)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "version"),
        ({"basis_id": 7}, "basis"),
        ({"levels": []}, "none, or too many"),
        ({"levels": [{"view_bytes": 0, "lost": 0.0}]}, "no bytes"),
        ({"levels": [{"view_bytes": 1, "lost": float("nan")}]}, "no share"),
        ({"levels": [{"view_bytes": 1, "lost": 2}]}, "no share"),
        ({"levels": ["?"]}, "no bytes"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_a_reason(change: dict[str, Any], reason: str) -> None:
    document = {"version": 1, "basis_id": "x", "levels": [{"view_bytes": 10, "lost": 0.1}]}
    assert read_levels(json.dumps(document)).of == (Level(10, 0.1),)
    with pytest.raises(ValueError, match=reason):
        read_levels(json.dumps(document | change))
