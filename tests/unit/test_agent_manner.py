"""A question may say how it wants to be answered: by which route, how long, in which form; and may be about nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agents import CLOUD, LIMITS, SURE, UNSURE, Bench, FixedPolicy, photo
from edge_agent.engines.base import Manner
from edge_agent.engines.scripted import Script
from edge_agent.errors import NoAnswerError
from edge_agent.types import Answer, AudioWindow, Observation, Route, SystemState

REACHABLE = SystemState(cloud_configured=True, cloud_reachable=True)
SCHEMA = {"type": "object", "properties": {"there": {"type": "boolean"}}}


def ask(bench: Bench, observation: Observation | None = None, **how: object) -> Answer:
    return asyncio.run(bench.agent.ask(observation or photo(), LIMITS, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("route", [Route.LOCAL, Route.CLOUD])
def test_a_route_that_is_named_wins_over_the_policy(route: Route) -> None:
    other = Route.CLOUD if route is Route.LOCAL else Route.LOCAL
    bench = Bench(FixedPolicy(other), state=REACHABLE)
    assert ask(bench, route=route).route is route
    assert ask(bench).route is other


def test_a_policy_does_not_learn_from_what_it_did_not_decide() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL), state=REACHABLE)
    ask(bench, route=Route.CLOUD)
    assert bench.policy.outcomes == []
    ask(bench)
    assert len(bench.policy.outcomes) == 1


def test_the_guards_win_over_a_named_route() -> None:
    answer = ask(Bench(FixedPolicy(Route.CLOUD), state=REACHABLE), photo(private=True), route=Route.CLOUD)
    assert answer.route is Route.LOCAL
    assert "private" in answer.reason


@pytest.mark.parametrize("policy", [FixedPolicy(Route.CLOUD), FixedPolicy(Route.CASCADE, accept_entropy=0.0)])
def test_a_form_keeps_the_question_on_the_device(policy: FixedPolicy) -> None:
    bench = Bench(policy, state=REACHABLE, local_scripts=(Script(("dog",), UNSURE),))
    answer = ask(bench, manner=Manner(schema=SCHEMA))
    assert bench.cloud is not None
    assert bench.cloud.queries == []
    assert answer.route is Route.LOCAL
    assert answer.reason.startswith("form: ")
    assert bench.local.queries[0].manner.schema == SCHEMA


def test_the_length_of_an_answer_is_the_questions_or_the_configured_one() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL))
    ask(bench, manner=Manner(max_new_tokens=3))
    ask(bench)
    assert [query.max_new_tokens for query in bench.local.queries] == [3, 16]


def test_an_answer_carries_its_tokens_and_why_it_ended() -> None:
    end = replace(SURE, prompt_tokens=58, finish_reason="length")
    answer = ask(Bench(FixedPolicy(Route.LOCAL), local_scripts=(Script(("cup",), end),)))
    assert (answer.tokens, answer.prompt_tokens, answer.finish_reason) == (1, 58, "length")


def test_words_alone_may_be_asked_about() -> None:
    for route, end in ((Route.LOCAL, SURE), (Route.CLOUD, CLOUD)):
        bench = Bench(FixedPolicy(route), state=REACHABLE)
        answer = ask(bench, Observation("say this is a test"))
        assert (answer.route, answer.confidence) == (route, end.confidence)


def test_a_sound_that_no_model_hears_is_still_refused() -> None:
    silence = AudioWindow(photo().frames[0].pixels.ravel().astype("float32") / 255, 16000)
    with pytest.raises(NoAnswerError, match="no audio encoder"):
        ask(Bench(FixedPolicy(Route.LOCAL)), Observation("what is that?", audio=silence))
