"""The running agent's policy: switched while it runs, saved every so often, a spoilt file moved aside; explained."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.cli.build import remembered_policy
from edge_agent.cli.remembered import SAVED_EVERY, RememberedPolicy
from edge_agent.config import CloudSettings, Config, PolicySettings
from edge_agent.errors import UsageError
from edge_agent.policy import make_policy, make_unguarded
from edge_agent.policy.explain import turning_points
from edge_agent.types import ImageFeatures, ModalityFeatures, Outcome, Route, SystemState

SETTINGS = PolicySettings(accept_entropy=0.1)
ASKED = ModalityFeatures(
    ImageFeatures(640, 480, 6.0, np.ones((2, 2), np.float32), 0.2, 900.0), question="what is this?"
)
ONLINE = SystemState(
    cloud_configured=True, embedding_bytes_estimate=9000, deadline_ms=5000.0, max_cost_usd=1.0, budget_left_usd=1.0
)


def policy_in(folder: Path, name: str = "ucb") -> RememberedPolicy:
    return RememberedPolicy(
        lambda wanted: make_unguarded(replace(SETTINGS, name=wanted), CloudSettings()), name, folder
    )


def learn(policy: RememberedPolicy, times: int = 1) -> None:
    for _ in range(times):
        decision = policy.decide(ASKED, ONLINE, ())
        policy.observe(Outcome(decision, decision.route, 20.0, 0, 0.0, 0.8))


@pytest.mark.parametrize("name", ["ucb", "qlmio", "hybrid", "random"])
def test_what_was_learned_outlives_the_process(tmp_path: Path, name: str) -> None:
    first = policy_in(tmp_path, name)
    learn(first, 5)
    first.save()
    again = policy_in(tmp_path, name)
    assert again.decide(ASKED, ONLINE, ()) == first.decide(ASKED, ONLINE, ())
    assert json.loads((tmp_path / f"policy-{name}.json").read_text())["policy"] == name


def test_it_is_saved_every_so_often_and_not_where_nothing_was_learned(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    policy = policy_in(folder)
    policy.save()
    learn(policy, SAVED_EVERY - 1)
    assert not folder.exists()
    learn(policy)
    assert [p.name for p in folder.iterdir()] == ["policy-ucb.json"]


def test_a_spoilt_file_is_moved_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "policy-ucb.json").write_text("spoilt")
    with caplog.at_level(logging.WARNING):
        policy = policy_in(tmp_path)
    assert policy.decide(ASKED, ONLINE, ()).route is Route.LOCAL
    assert (tmp_path / "policy-ucb.json.aside").read_text() == "spoilt"
    assert "set aside" in caplog.text


def test_a_full_disk_is_said_and_forgiven(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    policy = policy_in(blocked)
    learn(policy)
    with caplog.at_level(logging.WARNING):
        policy.save()
    assert "cannot be saved" in caplog.text


def test_another_policy_is_switched_on_while_running(tmp_path: Path) -> None:
    policy = policy_in(tmp_path, "local")
    policy.switch("cloud")
    assert policy.decide(ASKED, ONLINE, ()).route is Route.CLOUD
    with pytest.raises(UsageError, match="no policy 'nobody'"):
        policy.switch("nobody")
    assert policy.name == "cloud"


def test_the_configured_policy_is_the_first(own_home: Path) -> None:
    assert remembered_policy(replace(Config(), policy=PolicySettings(name="qlmio"))).name == "qlmio"


def test_an_explanation_names_the_value_at_which_the_route_turns() -> None:
    policy = make_policy(replace(SETTINGS, name="cloud"), CloudSettings())
    state = replace(ONLINE, cloud_latency_estimate_ms=100.0)
    said = turning_points(lambda varied: policy.decide(ASKED, varied, ()), state)
    assert any("cloud's expected latency (is 100): below about 5e+03 ms it goes to the cloud" in s for s in said)
    assert any(s.startswith("price of a cloud answer") and "about 1 USD" in s for s in said)


def test_nothing_turns_what_always_stays() -> None:
    policy = make_policy(replace(SETTINGS, name="local"), CloudSettings())
    assert turning_points(lambda varied: policy.decide(ASKED, varied, ()), ONLINE) == []
