"""The pipeline of one question: routes, drafts, fall-backs, deadlines, money, privacy, the decision log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from agents import CLOUD, LIMITS, SURE, UNSURE, Bench, FixedPolicy, frame, photo, tone
from edge_agent.engines.scripted import Script
from edge_agent.errors import CloudError, NoAnswerError, UsageError
from edge_agent.parts import Limits
from edge_agent.types import Answer, Modality, Route, SystemState, TokenEvent

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def ask(bench: Bench, **changes: Any) -> Answer:
    return run(bench.agent.ask(photo(**changes), LIMITS))


def test_a_local_answer_sends_nothing() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL))
    answer = ask(bench)
    assert (answer.text, answer.route, answer.bytes_up) == ("cup", Route.LOCAL, 0)
    assert bench.cloud is not None
    assert bench.cloud.queries == []


def test_a_cloud_answer_carries_its_bytes_and_money() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD))
    answer = ask(bench)
    assert (answer.text, answer.route, answer.bytes_up, answer.cost_usd) == ("cat", Route.CLOUD, 4000, 0.001)
    assert bench.local.queries == []
    assert bench.ledger.left_usd() == pytest.approx(0.999)


def test_a_sure_draft_is_the_answer() -> None:
    bench = Bench(FixedPolicy(Route.CASCADE, accept_entropy=0.1))
    answer = ask(bench)
    assert (answer.text, answer.route) == ("cup", Route.LOCAL)
    assert "it stands" in answer.reason
    assert bench.policy.outcomes[0].draft_accepted is None


def test_an_unsure_draft_goes_to_the_cloud_and_the_policy_learns_what_became_of_it() -> None:
    bench = Bench(FixedPolicy(Route.CASCADE, accept_entropy=0.1), local_scripts=[Script(("dog",), UNSURE)])
    answer = ask(bench)
    assert (answer.text, answer.route) == ("cat", Route.CLOUD)
    outcome = bench.policy.outcomes[0]
    assert (outcome.draft_text, outcome.draft_accepted) == ("dog", False)
    assert answer.timings_ms["draft"] >= 0


def told(bench: Bench) -> tuple[list[str], list[str]]:
    """The tokens and the provisional words that are told while one question is answered."""
    tokens: list[str] = []
    provisional: list[str] = []
    telling = {"on_token": lambda _, event: tokens.append(event.text), "on_provisional": provisional.append}
    run(bench.agent.ask(photo(), LIMITS, **telling))
    return tokens, provisional


def test_words_that_the_cloud_is_asked_to_check_are_told_as_provisional_and_never_as_tokens() -> None:
    bench = Bench(FixedPolicy(Route.CASCADE, accept_entropy=0.1), local_scripts=[Script(("dog",), UNSURE)])
    assert told(bench) == (["cat"], ["dog"])


@pytest.mark.parametrize(
    ("route", "scripts"),
    [(Route.LOCAL, [Script(("dog",), UNSURE)]), (Route.CLOUD, [Script()]), (Route.CASCADE, [Script(("cup",))])],
    ids=["the device's own", "the cloud's own", "a draft that stands"],
)
def test_words_that_nobody_checks_are_not_provisional(route: Route, scripts: list[Script]) -> None:
    assert told(Bench(FixedPolicy(route, accept_entropy=0.1), local_scripts=scripts))[1] == []


@pytest.mark.parametrize("route", [Route.CLOUD, Route.CASCADE])
def test_a_cloud_that_fails_is_answered_on_the_device_with_the_reason(route: Route) -> None:
    failing = Script(error=CloudError("connection refused", code="unreachable"))
    bench = Bench(
        FixedPolicy(route, accept_entropy=0.1), local_scripts=[Script(("dog",), UNSURE)], cloud_scripts=[failing]
    )
    answer = ask(bench)
    assert (answer.text, answer.route, answer.bytes_up) == ("dog", Route.LOCAL, 0)
    assert "the cloud was not reached (connection refused)" in answer.reason
    assert len(bench.monitors.failures) == 1
    assert bench.ledger.left_usd() == 1.0
    assert len(bench.local.queries) == 1, "a draft that exists is not made again"


def test_timings_are_consecutive_and_add_up() -> None:
    slow = Script(("a", "b"), CLOUD, first_after_s=0.2, between_s=0.1)
    bench = Bench(FixedPolicy(Route.CLOUD), cloud_scripts=[slow])
    timings = ask(bench).timings_ms
    assert timings["first_token"] == pytest.approx(200)
    assert timings["decode"] == pytest.approx(100)
    assert timings["total"] == pytest.approx(sum(ms for stage, ms in timings.items() if stage != "total"))
    assert set(timings) >= {"features", "decide", "encode", "upload", "first_token", "total"}


def test_a_cloud_that_stalls_leaves_time_to_answer_on_the_device() -> None:
    async def stall() -> Answer:
        bench = Bench(FixedPolicy(Route.CLOUD))
        assert bench.cloud is not None
        bench.cloud._clock = Forever()
        answer = await bench.agent.ask(photo(), Limits(deadline_ms=400.0))
        assert bench.cloud.cancelled == 1
        return answer

    answer = run(stall())
    assert answer.route is Route.LOCAL
    assert "the time ran out while waiting for the cloud" in answer.reason


class Forever:
    """A clock on which sleeping never ends."""

    def monotonic_s(self) -> float:
        return 0.0

    def wall_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


def test_past_the_deadline_there_is_a_typed_refusal() -> None:
    async def stall() -> None:
        bench = Bench(FixedPolicy(Route.LOCAL))
        bench.local._clock = Forever()
        with pytest.raises(NoAnswerError, match="the time ran out while answering on the device"):
            await bench.agent.ask(photo(), Limits(deadline_ms=400.0))
        assert bench.local.cancelled == 1
        assert "time ran out" in bench.journal.records[0]["error"]

    run(stall())


def test_a_spent_budget_keeps_the_question_here() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD), budget_usd=0.0, state=SystemState(cloud_cost_estimate_usd=0.001))
    answer = ask(bench)
    assert answer.route is Route.LOCAL
    assert answer.reason.startswith("money:")
    assert bench.cloud is not None
    assert bench.cloud.queries == []


def test_what_a_lost_answer_has_cost_is_counted() -> None:
    error = CloudError("closed half way", code="closed")
    error.bytes_up, error.bytes_down, error.asked = 5000, 40, True
    state = SystemState(cloud_cost_estimate_usd=0.001)
    bench = Bench(FixedPolicy(Route.CLOUD), cloud_scripts=[Script(error=error)], state=state)
    answer = ask(bench)
    assert answer.route is Route.LOCAL
    assert (answer.bytes_up, answer.bytes_down, answer.cost_usd) == (5000, 40, 0.001)
    assert bench.ledger.left_usd() == pytest.approx(0.999), "it may have been billed"


@pytest.mark.parametrize("code", ["auth", "over_budget", "unknown_encoder"])
def test_a_refusal_costs_nothing_and_does_not_put_the_cloud_offline(code: str) -> None:
    script = Script(error=CloudError("no", code=code))
    bench = Bench(FixedPolicy(Route.CLOUD), cloud_scripts=[script], state=SystemState(cloud_cost_estimate_usd=0.001))
    answer = ask(bench)
    assert "the cloud refused (no)" in answer.reason
    assert answer.cost_usd == 0
    assert bench.ledger.left_usd() == 1.0
    assert bench.monitors.failures == []


def test_the_cloud_may_cost_no_more_than_the_question_and_the_day_allow() -> None:
    for budget_usd, most_usd in ((1.0, 0.01), (0.004, 0.004), (0.0, 0.0)):
        bench = Bench(FixedPolicy(Route.CLOUD), budget_usd=budget_usd)
        ask(bench)
        assert bench.cloud is not None
        assert bench.cloud.queries[0].max_cost_usd == pytest.approx(most_usd)


def test_without_time_for_the_cloud_it_is_not_asked_and_not_blamed() -> None:
    state = SystemState(local_latency_estimate_ms=600.0, cloud_cost_estimate_usd=0.001)
    bench = Bench(FixedPolicy(Route.CLOUD), state=state)
    answer = ask(bench)
    assert "leaves no time for it" in answer.reason
    assert bench.cloud is not None
    assert bench.cloud.queries == []
    assert bench.monitors.failures == []
    assert bench.ledger.left_usd() == 1.0


def test_a_private_question_stays_and_its_words_are_not_logged() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD))
    answer = ask(bench, private=True)
    assert answer.route is Route.LOCAL
    assert answer.reason.startswith("private:")
    assert bench.cloud is not None
    assert bench.cloud.queries == []
    assert bench.journal.records[0]["question"] is None


def test_without_a_cloud_the_guard_answers_here() -> None:
    answer = ask(Bench(FixedPolicy(Route.CLOUD), cloud_scripts=None))
    assert answer.route is Route.LOCAL
    assert answer.reason.startswith("offline:")


def test_sound_alone_is_answered_by_a_model_that_hears() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL))
    bench.local.encodable = (Modality.IMAGE, Modality.AUDIO)
    assert ask(bench, frames=(), audio=tone(0.5)).text == "cup"
    (heard,) = bench.local.queries[0].embeddings
    assert heard.modality is Modality.AUDIO
    assert bench.local.queries[0].detail is None


def test_picture_and_sound_are_both_encoded_picture_first() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL))
    bench.local.encodable = (Modality.IMAGE, Modality.AUDIO)
    ask(bench, audio=tone(0.5))
    assert [e.modality for e in bench.local.queries[0].embeddings] == [Modality.IMAGE, Modality.AUDIO]


def test_detail_views_are_offered_to_the_engines_and_not_made_before_one_wants_them() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD))
    bench.local.grid = (2, 2)
    ask(bench)
    assert bench.cloud is not None
    detail = bench.cloud.queries[0].detail
    assert detail is not None
    assert ((detail.rows, detail.columns), bench.local.encoded) == ((2, 2), 1)
    assert len(run(detail.encode())) == 4


def test_sound_alone_is_refused_in_words() -> None:
    with pytest.raises(NoAnswerError, match="no audio encoder"):
        ask(Bench(FixedPolicy(Route.LOCAL)), frames=(), audio=tone(0.5))


def test_the_key_frame_is_the_one_that_is_encoded_and_described() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL))
    ask(bench, frames=(frame(64), frame(192), frame(32)), key_frame=1)
    assert bench.local.queries[0].embeddings[0].data[0, 0] == 192
    record = bench.journal.records[0]["features"]
    assert record["image"].entropy_bits == pytest.approx(6.0)
    assert len(record["motion"]) == 2


@pytest.mark.parametrize("question", ["", "  \n", "x" * 100_000, "caf\udce9"])
def test_an_empty_or_endless_or_broken_question_is_a_usage_error(question: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(Bench(FixedPolicy(Route.LOCAL)), question=question)
    assert len(str(caught.value)) < 200


def test_a_full_disk_does_not_stop_answers() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL))
    bench.journal.full = True
    assert ask(bench).text == "cup"
    assert ask(bench).text == "cup"
    bench.journal.full = False
    ask(bench)
    assert len(bench.journal.records) == 1, "with room again, lines are written again"


def test_tokens_are_shown_as_they_come_but_drafts_are_not() -> None:
    shown: list[tuple[Route, str]] = []

    def on_token(route: Route, token: TokenEvent) -> None:
        shown.append((route, token.text))

    bench = Bench(FixedPolicy(Route.CASCADE, accept_entropy=0.1), local_scripts=[Script(("dog",), UNSURE)])
    run(bench.agent.ask(photo(), LIMITS, on_token))
    assert shown == [(Route.CLOUD, "cat")]


def test_closing_closes_both_engines() -> None:
    bench = Bench(FixedPolicy(Route.LOCAL), local_scripts=[Script(("cup",), SURE)])
    run(bench.agent.close())
    assert bench.local.closed
    assert bench.cloud is not None
    assert bench.cloud.closed
