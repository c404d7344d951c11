"""How long a draft is: free while the link is busy, worth its rows and its delay, and off where nothing is gained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.draft_length import LOOK_AGAIN, DraftLength, Seen
from edge_agent.engines.drafting import QueryDrafting
from edge_agent.transport.messages import Welcome
from edge_agent.types import TokenEvent

SIZE = 2000


def seen(**changes: float) -> Seen:
    """A plain answer of six tokens: 10 ms a step in the cloud, over a link that is busy for 200 ms at 20 ms of RTT."""
    values = {"bytes_up": SIZE, "upload_ms": 220.0, "rtt_ms": 20.0, "held_ms": 0.0, "prefill_ms": 30.0}
    return Seen(**(values | {"decode_ms": 50.0, "decoded": 5} | changes))  # type: ignore[arg-type]


def taught(first_ms: float = 40.0, step_ms: float = 10.0, **changes: float) -> DraftLength:
    length = DraftLength()
    length.answered(seen(**changes))
    length.device_took(first_ms, step_ms)
    return length


def judged(length: DraftLength, accepted: int, drafted: int = 4, times: int = 30) -> DraftLength:
    for _ in range(times):
        length.answered(seen(drafted=drafted, accepted=accepted, prefill_ms=30.0))
    return length


def test_the_first_question_is_asked_plainly_to_see_what_there_is_to_save():
    assert DraftLength().count(SIZE, 16) == 0
    assert DraftLength().count(SIZE, 16, made=3) == 3  # but what is there already costs nothing to try


def test_the_window_is_what_the_link_was_busy_without_its_round_trip():
    assert taught().window_ms(SIZE) == pytest.approx(200)
    assert taught().window_ms(SIZE // 2) == pytest.approx(100)
    assert taught(upload_ms=20.0).window_ms(SIZE) < 1


def test_drafting_within_the_window_delays_nothing():
    length = taught()
    assert length.delay_ms(17, SIZE) == 0
    assert length.delay_ms(18, SIZE) == pytest.approx(10)


def test_a_draft_fills_the_window_but_not_more_than_the_answer_may_hold():
    length = judged(taught(), accepted=4)
    assert length.count(SIZE, 16) == 16
    assert 0 < length.count(SIZE // 4, 16) < 8


def test_a_short_window_takes_a_shorter_draft_than_a_long_one():
    length = judged(taught(step_ms=30.0), accepted=3)
    assert length.count(SIZE // 4, 16) < length.count(SIZE, 16)


def test_a_slow_device_on_a_fast_link_does_not_draft():
    length = taught(first_ms=150.0, step_ms=150.0, upload_ms=22.0)
    assert [length.count(SIZE, 16) for _ in range(LOOK_AGAIN - 1)] == [0] * (LOOK_AGAIN - 1)


def test_what_was_switched_off_is_tried_again_now_and_then():
    length = taught(first_ms=150.0, step_ms=150.0, upload_ms=22.0)
    counts = [length.count(SIZE, 16) for _ in range(7 * LOOK_AGAIN)]
    assert [at for at, count in enumerate(counts, 1) if count] == [LOOK_AGAIN, 3 * LOOK_AGAIN, 7 * LOOK_AGAIN]
    assert max(counts) == 2


def test_drafts_that_never_stand_end_drafting():
    assert judged(taught(), accepted=0, times=60).count(SIZE, 16, made=4) == 0


def test_rows_that_cost_the_cloud_as_much_as_steps_end_drafting():
    length = taught()
    for _ in range(30):
        length.answered(seen(drafted=2, accepted=1, prefill_ms=60.0))
    assert length.count(SIZE, 16, made=2) == 0


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


def test_auto_does_not_wait_for_what_saves_nothing():
    async def main() -> tuple[Talker, object]:
        talker, length = Talker(step_s=3600.0), taught(step_ms=1.0, first_ms=1.0, upload_ms=30.0)
        drafting = QueryDrafting(talker, Query("?", (), max_new_tokens=4), length, "auto", SystemClock())
        drafting.begin(WELCOME, SIZE)
        got = await drafting.draft()  # would hang
        return talker, got.draft

    talker, draft = asyncio.run(main())
    assert draft is None
    assert talker.ended
