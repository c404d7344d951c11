"""Policies that are exchanged while running, and what they learned, saved and taken up again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge_agent.config import PolicySettings
from edge_agent.policy import ConstantPolicy, MsaoPolicy, RandomPolicy, TmoPolicy, UcbPolicy, shipped_responses
from edge_agent.policy.learned import MAX_STATE_BYTES, saved, take_up
from edge_agent.policy.switch import SwitchedPolicy
from edge_agent.types import ImageFeatures, ModalityFeatures, Outcome, Route, SystemState

SETTINGS = PolicySettings(accept_entropy=0.1)
ASKED = ModalityFeatures(ImageFeatures(8, 8, 6.0, np.ones((1, 1), np.float32), 0.2, 9.0), question="what is this?")
ONLINE = SystemState(cloud_configured=True, embedding_bytes_estimate=9000)


def make(name: str) -> Any:
    if name not in ("local", "cloud", "ucb"):
        raise ValueError(f"no policy {name}")
    return UcbPolicy(SETTINGS) if name == "ucb" else ConstantPolicy(Route(name))


def test_the_policy_that_is_switched_on_decides() -> None:
    policy = SwitchedPolicy(make, "local")
    assert policy.decide(ASKED, ONLINE, ()).route is Route.LOCAL
    policy.switch("cloud")
    assert policy.decide(ASKED, ONLINE, ()).route is Route.CLOUD
    assert policy.name == "cloud"


def test_an_unknown_name_changes_nothing() -> None:
    policy = SwitchedPolicy(make, "local")
    with pytest.raises(ValueError, match="no policy"):
        policy.switch("nobody")
    assert policy.name == "local"


def test_an_outcome_teaches_the_policy_that_decided_and_learning_is_kept() -> None:
    policy = SwitchedPolicy(make, "ucb")
    decision = policy.decide(ASKED, ONLINE, ())
    policy.switch("local")
    policy.observe(Outcome(decision, Route.LOCAL, 10.0, 0, 0.0, 0.9))
    policy.switch("ucb")
    learned = policy.on
    assert isinstance(learned, UcbPolicy)
    assert sum(map(sum, learned.state()["plays"])) == 1.0


def test_what_was_learned_is_taken_up_again() -> None:
    first, again = RandomPolicy(SETTINGS, seed=5), RandomPolicy(SETTINGS, seed=6)
    text = saved(first)
    assert text is not None
    take_up(again, text)
    assert again.state() == first.state()


def test_a_policy_that_learns_nothing_saves_nothing() -> None:
    assert saved(ConstantPolicy(Route.LOCAL)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        json.dumps({"format": 2, "policy": "random", "state": {}}),
        json.dumps({"format": 1, "policy": "ucb", "state": {}}),
        json.dumps({"format": 1, "policy": "random", "state": []}),
        " " * (MAX_STATE_BYTES + 1),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(text: str) -> None:
    policy = RandomPolicy(SETTINGS)
    before = policy.state()
    with pytest.raises(ValueError, match=r"."):
        take_up(policy, text)
    assert policy.state() == before


def test_a_state_that_grew_too_large_is_not_saved() -> None:
    class Hoarder:
        name = "hoarder"

        def state(self) -> dict[str, Any]:
            return {"all": "x" * MAX_STATE_BYTES}

        def restore(self, state: Any) -> None:
            raise AssertionError

    assert saved(Hoarder()) is None


def msao(start: float = 0.1) -> MsaoPolicy:
    return MsaoPolicy(PolicySettings(accept_entropy=start))


def rejected(policy: Any, entropy: float) -> None:
    """A draft of that entropy went up and was not confirmed."""
    decision = policy.decide(ASKED, ONLINE, ())
    policy.observe(
        Outcome(
            decision, Route.CLOUD, 100.0, 9000, 0.0, 0.8, draft_text="a", draft_entropy=entropy, draft_accepted=False
        )
    )


def test_msao_takes_its_threshold_up_again() -> None:
    first, again = msao(), msao()
    rejected(first, 0.15)
    text = saved(first)
    assert text is not None
    take_up(again, text)
    assert again.accept_entropy == first.accept_entropy < 0.1


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"started_at": 0.2}, {"accept_entropy": 0.5}, {"accept_entropy": "x"}, {"accept_entropy": None}],
)
def test_a_threshold_that_does_not_fit_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    policy = msao()
    with pytest.raises(ValueError, match="threshold"):
        policy.restore({**policy.state(), **change})
    assert policy.accept_entropy == 0.1


def test_tmo_takes_up_what_it_learned_of_both_locations() -> None:
    first, again = (TmoPolicy(SETTINGS, shipped_responses()) for _ in range(2))
    for _ in range(30):
        first.observe(Outcome(first.decide(ASKED, ONLINE, ()), Route.LOCAL, 10.0, 0, 0.0, 0.0))
    text = saved(first)
    assert text is not None
    take_up(again, text)
    assert again.response(5, 0) == first.response(5, 0) != TmoPolicy(SETTINGS, shipped_responses()).response(5, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"tasks": []},
        {"measured_with": "another"},
        {"right": [[1.0, 1.0]]},
        {"right": [[1e6, 1e6]] * 6},
        {"asked": [[float("nan"), 1.0]] * 6},
        {"asked": [[True, 1.0]] * 6},
    ],
)
def test_counts_that_do_not_fit_are_refused_and_change_nothing(change: dict[str, Any]) -> None:
    policy = TmoPolicy(SETTINGS, shipped_responses())
    before = policy.state()
    with pytest.raises(ValueError, match=r"it|count|row|right"):
        policy.restore({**before, **change})
    assert policy.state() == before
