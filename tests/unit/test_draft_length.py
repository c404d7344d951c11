"""How long a draft is by what turns have shown of link, device and cloud, and how the device makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.draft_length import FIRST_LOOK, LOOK_AGAIN, TRIED, UPLOADS_KEPT, DraftLength, Seen
from edge_agent.engines.drafting import QueryDrafting
from edge_agent.transport.messages import Welcome
from edge_agent.types import TokenEvent
from edge_agent.uplink import HANDLING_MS

SIZE = 2000


def seen(**changes: int | float) -> Seen:
    """A plain answer of six tokens: 10 ms a step in the cloud, over a link that is busy for 200 ms at 20 ms of RTT."""
    values = {"bytes_up": SIZE, "upload_ms": 220.0 + HANDLING_MS, "rtt_ms": 20.0, "held_ms": 0.0, "prefill_ms": 30.0}
    return Seen(**(values | {"decode_ms": 50.0, "decoded": 5, "tokens": 6} | changes))  # type: ignore[arg-type]


def taught(first_ms: float = 40.0, step_ms: float = 10.0, **changes: int | float) -> DraftLength:
    length = DraftLength()
    length.answered(seen(**changes))
    length.device_took(first_ms, step_ms)
    return length


def judged(length: DraftLength, accepted: int, drafted: int = 4, times: int = 30) -> DraftLength:
    for _ in range(times):
        left = 5 - accepted
        length.answered(seen(drafted=drafted, accepted=accepted, decoded=left, decode_ms=10.0 * left))
    return length


def test_the_first_question_is_asked_plainly_to_see_what_there_is_to_save():
    assert DraftLength().count(SIZE, 16) == 0
    assert DraftLength().count(SIZE, 16, made=3) == 3  # but what is there already costs nothing to try


def test_the_window_is_what_the_link_was_busy_without_its_round_trip_and_the_handling_of_frames():
    assert taught().window_ms(SIZE) == pytest.approx(200)
    assert taught().window_ms(SIZE // 2) == pytest.approx(100)
    assert taught(upload_ms=20.0 + HANDLING_MS).window_ms(SIZE) == 0


def test_a_lost_packet_now_and_then_makes_no_window():
    length = DraftLength()
    for at in range(UPLOADS_KEPT):
        length.answered(seen(upload_ms=(420.0 if at % 2 else 30.0) + HANDLING_MS))
    assert length.window_ms(SIZE) == pytest.approx(10)


def test_tensors_that_the_cloud_holds_already_make_no_window_and_tell_of_none():
    length = taught()
    assert length.window_ms(0) == 0
    length.answered(seen(bytes_up=0, upload_ms=25.0))
    assert length.window_ms(SIZE) == pytest.approx(200)


def test_a_draft_fills_the_window_but_not_more_than_the_answer_may_hold():
    length = judged(taught(), accepted=4)
    assert length.count(SIZE, 16) == 5
    assert length.count(SIZE, 3) == 3


def test_how_long_answers_last_is_learned_from_all_of_them():
    length = taught(tokens=2, decoded=1, decode_ms=10.0)
    costs = length.costs(SIZE)
    assert costs is not None
    assert costs.lasting == (1.0,)
    for _ in range(40):
        length.answered(seen(tokens=4))
        length.answered(seen(tokens=2))
    costs = length.costs(SIZE)
    assert costs is not None
    assert costs.lasting == pytest.approx((1.0, 0.5, 0.5), abs=0.1)


def test_a_slow_device_on_a_fast_link_does_not_draft():
    length = taught(first_ms=150.0, step_ms=150.0, upload_ms=22.0)
    assert [length.count(SIZE, 16) for _ in range(8 * LOOK_AGAIN)] == [0] * (8 * LOOK_AGAIN)  # whatever stood


def test_what_would_pay_if_it_stood_is_tried_again_now_and_then():
    length = judged(taught(), accepted=0, times=60)
    counts = [length.count(SIZE, 16) for _ in range(8 * LOOK_AGAIN)]
    looks = [FIRST_LOOK + wait * LOOK_AGAIN for wait in (0, 1, 3, 7)]
    assert [at for at, count in enumerate(counts, 1) if count] == looks


def test_drafts_that_never_stand_end_drafting():
    assert judged(taught(), accepted=0, times=60).count(SIZE, 16, made=4) == 0


def test_rows_that_cost_the_cloud_as_much_as_steps_end_drafting():
    length = taught()
    for _ in range(60):
        length.answered(seen(drafted=2, accepted=1, prefill_ms=60.0))
    assert length.count(SIZE, 16, made=2) == 0


def test_a_pass_that_had_nothing_new_to_read_is_not_held_against_one_that_had():
    length = taught()
    for _ in range(30):
        length.answered(seen(bytes_up=0, prefill_ms=3.0))
    for _ in range(30):
        length.answered(seen(drafted=4, accepted=4, prefill_ms=30.0))
    costs = length.costs(SIZE)
    assert costs is not None
    assert costs.cloud_row_ms < 1


@pytest.mark.parametrize(
    "changes",
    [{"decode_ms": 90.0}, {"prefill_ms": 90.0}, {"held_ms": 250.0}],
    ids=["the other steps are slower", "reading it is", "it was waited for"],
)
def test_drafts_that_stand_and_save_no_time_by_the_clock_are_left(changes):
    length = judged(taught(), accepted=4, times=TRIED)
    assert length.count(SIZE, 16) > 0
    for _ in range(10):
        length.answered(seen(**({"drafted": 4, "accepted": 4, "decoded": 1, "decode_ms": 10.0} | changes)))
    assert length.acceptance > 0.8
    assert [length.count(SIZE, 16) for _ in range(LOOK_AGAIN - 1)] == [0] * (LOOK_AGAIN - 1)
    assert length.count(SIZE, 16) > 0  # a look whether that is still so
    for _ in range(10):
        length.answered(seen(drafted=4, accepted=4, decoded=1, decode_ms=10.0))
    assert [length.count(SIZE, 16) > 0 for _ in range(3)] == [True] * 3


def test_one_slow_turn_ends_no_drafting():
    length = judged(taught(), accepted=4, times=1)
    length.answered(seen(drafted=4, accepted=4, decoded=1, decode_ms=500.0))
    assert length.count(SIZE, 16) > 0


def test_a_device_that_never_drafted_is_not_taken_to_need_no_time():
    length = DraftLength()
    length.answered(seen(tokens=2, decoded=1, decode_ms=10.0, upload_ms=24.0 + HANDLING_MS))
    assert [length.count(SIZE, 16) for _ in range(8 * LOOK_AGAIN)] == [0] * (8 * LOOK_AGAIN)
    length = DraftLength()
    length.answered(seen(tokens=12, decoded=11, decode_ms=110.0, upload_ms=24.0 + HANDLING_MS))
    assert [length.count(SIZE, 16) > 0 for _ in range(FIRST_LOOK)] == [False, True]  # for words it is worth a try


def test_acceptance_is_the_share_of_tokens_that_stood_while_all_before_them_did():
    assert judged(taught(), accepted=4, times=200).acceptance == pytest.approx(1, abs=0.01)
    assert judged(taught(), accepted=0, times=200).acceptance == pytest.approx(0, abs=0.01)
    assert judged(taught(), accepted=1, times=200).acceptance == pytest.approx(0.5, abs=0.06)


def test_waiting_for_a_draft_does_not_make_the_link_look_slow():
    length = taught()
    length.answered(seen(upload_ms=2000.0, held_ms=1900.0))
    assert length.window_ms(SIZE) == pytest.approx(200)


def test_counts_add_up():
    length = judged(taught(), accepted=3, drafted=4, times=5)
    assert (length.turns, length.drafted, length.accepted) == (6, 20, 15)


class Talker:
    """Says 5, 6, 7, ... one token each `step_s`; `failure` after the second."""

    tokenizer_id = "t"

    def __init__(self, step_s: float = 0.0, failure: Exception | None = None) -> None:
        self.step_s, self.failure = step_s, failure
        self.said = 0
        self.ended = False

    async def draft(self, query: Query) -> AsyncGenerator[TokenEvent, None]:
        try:
            for at in range(query.max_new_tokens):
                await asyncio.sleep(self.step_s)
                if self.failure is not None and at == 2:
                    raise self.failure
                self.said += 1
                yield TokenEvent(5 + at, "x", 0.5, 0.5)
        finally:
            self.ended = True


WELCOME = Welcome(1, "m", (), (), 8, features=("draft",), tokenizer_id="t")


async def drafted(talker: Talker, welcome: Welcome = WELCOME, mode: str = "on", made: tuple[int, ...] | None = None):
    drafting = QueryDrafting(talker, Query("?", (), max_new_tokens=4, draft=made), DraftLength(), mode, SystemClock())
    drafting.begin(welcome, SIZE)
    got = await drafting.draft()
    await drafting.close()
    return got


def test_the_device_drafts_as_long_as_the_answer_may_be_where_it_is_told_to():
    assert asyncio.run(drafted(Talker())).draft.ids == (5, 6, 7, 8)


def test_a_draft_that_is_there_is_not_made_again():
    talker = Talker()
    assert asyncio.run(drafted(talker, made=(1, 2))).draft.ids == (1, 2)
    assert talker.said == 0


@pytest.mark.parametrize(
    "welcome",
    [Welcome(1, "m", (), (), 8), Welcome(1, "m", (), (), 8, features=("draft",), tokenizer_id="other")],
    ids=["a cloud that checks none", "another tokenizer"],
)
def test_nothing_is_drafted_for_a_cloud_that_cannot_read_it(welcome):
    talker = Talker()
    assert asyncio.run(drafted(talker, welcome)).draft is None
    assert talker.said == 0


def test_a_device_that_fails_sends_what_it_has():
    assert asyncio.run(drafted(Talker(failure=RuntimeError("no more")))).draft.ids == (5, 6)


def test_auto_does_not_wait_for_what_saves_nothing_and_knows_the_next_time():
    async def main() -> tuple[Talker, object, float]:
        talker, length = Talker(step_s=3600.0), DraftLength()
        length.answered(seen(upload_ms=30.0))
        length.device_took(1.0, 1.0)
        drafting = QueryDrafting(talker, Query("?", (), max_new_tokens=4), length, "auto", SystemClock())
        drafting.begin(WELCOME, SIZE)
        got = await drafting.draft()  # would hang
        costs = length.costs(SIZE)
        assert costs is not None
        return talker, got.draft, costs.device_first_ms

    talker, draft, first_ms = asyncio.run(main())
    assert draft is None
    assert talker.ended
    assert first_ms > 1  # it takes at least as long as was waited
