"""The manifest's prediction of what asking the cloud would gain: read, checked, and used by a cascade."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import CLOUD, LIMITS, SURE, UNSURE, Bench, FixedPolicy, photo
from edge_agent.engines.scripted import Script
from edge_agent.errors import ModelError
from edge_agent.types import Answer, Generation, Route, SystemState, TokenEvent
from edge_agent.vlm import Calibration, find_bundle, summarise
from edge_agent.vlm.gain import GainModel
from edge_agent.vlm.manifest import read_manifest

SURE_TOKEN = TokenEvent(7, "two", 0.999, 0.01)
UNSURE_TOKEN = TokenEvent(7, "two", 0.2, 0.7)
COUNTS = GainModel(("how many",), (-2.0, -0.5, 0.0, 0.0, 1.5), (-3.0, -0.5, 0.0, 0.0, 0.0))


def cascade(draft: Generation, **thresholds: Any) -> tuple[Answer, Bench]:
    bench = Bench(FixedPolicy(Route.CASCADE, **thresholds), local_scripts=[Script(("dog",), draft)])
    return asyncio.run(bench.agent.ask(photo(), LIMITS)), bench


def test_a_gain_is_the_chance_that_the_cloud_helps_less_that_it_harms() -> None:
    tokens = [TokenEvent(7, "two", 0.5, 0.4)]  # a probability of one half: its logit is 0
    helps, harms = 1 / (1 + 2.718281828459045**0.5), 1 / (1 + 2.718281828459045**3)
    assert COUNTS.expected("How many dogs?", tokens) == pytest.approx(helps - harms)


def test_the_least_sure_token_counts_and_a_cue_raises_the_gain() -> None:
    both = [SURE_TOKEN, UNSURE_TOKEN]
    assert COUNTS.expected("how many dogs?", both) > COUNTS.expected("how many dogs?", [SURE_TOKEN])
    assert COUNTS.expected("how many dogs?", both) > COUNTS.expected("is there a dog?", both)


def test_an_answer_without_tokens_has_a_gain_too() -> None:
    assert -1 <= COUNTS.expected("how many dogs?", []) <= 1


def test_the_shipped_device_model_predicts_its_gain() -> None:
    calibration = read_manifest(find_bundle("edge-vqa")).calibration
    unsure = summarise([UNSURE_TOKEN], calibration, "what is this?").expected_gain
    assert unsure is not None
    assert -1 <= unsure <= 1
    assert unsure != summarise([SURE_TOKEN], calibration, "what is this?").expected_gain


def test_nothing_is_predicted_without_a_model_of_it_or_without_a_question() -> None:
    assert summarise([SURE_TOKEN], Calibration(), "what is this?").expected_gain is None
    assert summarise([SURE_TOKEN], Calibration(gain=COUNTS)).expected_gain is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda gain: gain["helps"].pop(),
        lambda gain: gain.pop("harms"),
        lambda gain: gain["helps"].__setitem__(0, float("nan")),
        lambda gain: gain.__setitem__("cues", ["x"] * 1000),
        lambda gain: gain.__setitem__("harms", "none"),
    ],
)
def test_a_gain_that_is_none_is_a_damaged_manifest(tmp_path: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((find_bundle("edge-vqa") / "manifest.json").read_text())
    damage(raw["calibration"]["gain"])
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_a_draft_goes_up_where_the_cloud_is_expected_to_gain_enough() -> None:
    answer, bench = cascade(replace(SURE, expected_gain=0.3), accept_entropy=0.5, min_gain=0.2)
    assert (answer.text, answer.route, answer.expected_gain) == ("cat", Route.CLOUD, 0.3)
    assert "expected gain is +0.300: the cloud answers" in answer.reason
    assert bench.policy.outcomes[0].expected_gain == 0.3
    assert bench.journal.records[0]["outcome"]["expected_gain"] == 0.3


def test_a_draft_stands_where_the_cloud_would_gain_too_little_however_unsure_it_is() -> None:
    answer, bench = cascade(replace(UNSURE, expected_gain=0.1), accept_entropy=0.0, min_gain=0.2)
    assert (answer.text, answer.route, answer.expected_gain) == ("dog", Route.LOCAL, 0.1)
    assert "expected gain is +0.100: it stands" in answer.reason
    assert bench.policy.outcomes[0].expected_gain == 0.1


def test_entropy_decides_where_the_model_predicts_no_gain() -> None:
    assert cascade(SURE, accept_entropy=0.5, min_gain=-1.0)[0].route is Route.LOCAL
    assert cascade(UNSURE, accept_entropy=0.5, min_gain=1.0)[0].route is Route.CLOUD


def test_a_cloud_answer_without_a_draft_has_no_gain() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD), cloud_scripts=[Script(("cat",), CLOUD)])
    assert asyncio.run(bench.agent.ask(photo(), LIMITS)).expected_gain is None


def test_a_guard_takes_the_threshold_away() -> None:
    state = SystemState(private=True, cloud_configured=True)
    bench = Bench(FixedPolicy(Route.CASCADE, min_gain=-1.0), state=state)
    answer = asyncio.run(bench.agent.ask(photo(private=True), LIMITS))
    assert (answer.route, answer.decision.min_gain) == (Route.LOCAL, None)
