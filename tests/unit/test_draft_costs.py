"""How long a draft pays: free while the link is busy, worth its rows and delay, and none where nothing is gained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.engines.draft_costs import MARGIN_SHARE, Costs, delay_ms, draft_count, made_pays, saved_ms

WORDS = Costs(  # six tokens an answer, 20 ms of upload: worth drafting
    window_ms=20.0,
    turn_ms=100.0,
    cloud_step_ms=10.0,
    cloud_row_ms=1.0,
    device_first_ms=12.0,
    device_step_ms=2.0,
    acceptance=0.9,
    lasting=(1.0,) * 5,
)
YES = replace(WORDS, lasting=(1.0,))  # "yes" and its end: one step of the cloud after the pass


def test_what_is_saved_is_a_step_for_each_token_that_stands_and_is_needed():
    assert saved_ms(YES, 1) == pytest.approx(0.9 * 10 - 1)
    assert saved_ms(YES, 4) == saved_ms(YES, 1)  # an answer that has ended saves no more, and reads no more
    assert saved_ms(replace(WORDS, acceptance=1.0), 5) == pytest.approx(5 * 10 - 5)
    assert saved_ms(replace(WORDS, lasting=(1.0, 0.5)), 2) == pytest.approx((0.9 + 0.81 * 0.5) * 10 - 1.5)


def test_what_is_made_while_the_link_is_busy_delays_nothing():
    assert [delay_ms(WORDS, count) for count in (1, 5)] == [0, 0]
    assert delay_ms(replace(WORDS, window_ms=5.0), 1) == pytest.approx(7)
    assert delay_ms(replace(WORDS, window_ms=5.0), 3) == pytest.approx(7 + 2 * 2)
    assert delay_ms(replace(YES, window_ms=5.0), 3) == pytest.approx(7 + 2)


def test_an_answer_of_one_word_is_drafted_only_while_a_slow_link_is_busy():
    assert draft_count(YES, 16) == 1  # its end saves nothing
    assert draft_count(replace(YES, window_ms=2.0), 16) == 0
    assert draft_count(replace(YES, window_ms=2.0, device_first_ms=3.0), 16) == 1


def test_a_long_answer_is_drafted_even_over_a_fast_link():
    assert draft_count(replace(WORDS, window_ms=0.0), 16) == 5
    assert draft_count(replace(WORDS, window_ms=0.0), 3) == 3


def test_the_longest_draft_is_not_the_best_one_where_little_stands():
    unsure = replace(WORDS, window_ms=0.0, turn_ms=50.0, device_first_ms=1.0, device_step_ms=4.0, acceptance=0.7)
    assert 0 < draft_count(unsure, 16) < draft_count(replace(unsure, acceptance=1.0), 16)


def test_a_slow_device_drafts_nothing():
    assert draft_count(replace(WORDS, device_first_ms=150.0, device_step_ms=150.0), 16) == 0


def test_a_gain_that_is_lost_in_the_turn_is_none():
    turn_ms = saved_ms(YES, 1) / MARGIN_SHARE
    assert draft_count(replace(YES, turn_ms=turn_ms * 0.99), 16) == 1
    assert draft_count(replace(YES, turn_ms=turn_ms * 1.01), 16) == 0


@pytest.mark.parametrize("changes", [{"acceptance": 0.0}, {"cloud_row_ms": 10.0}, {"lasting": ()}], ids=str)
def test_drafts_that_save_nothing_are_not_made(changes):
    assert draft_count(replace(WORDS, **changes), 16) == 0


def test_a_draft_that_is_there_costs_its_rows_alone():
    slow = replace(YES, window_ms=0.0, device_first_ms=1000.0)
    assert made_pays(slow, 2)
    assert not made_pays(slow, 1)  # one token, which the pass gives anyway
    assert not made_pays(replace(slow, cloud_row_ms=9.5), 2)
    assert not made_pays(replace(slow, acceptance=0.0), 2)
