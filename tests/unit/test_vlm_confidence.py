"""Probability, entropy and confidence are what their definitions say, for any logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.types import TokenEvent
from edge_agent.vlm import Calibration, confidence, summarise
from edge_agent.vlm.confidence import token_statistics

EOS = 3
PLAIN = Calibration(eos_token_ids=(EOS,))


def event(probability: float, entropy: float = 0.1, token: int = 9, text: str = "a") -> TokenEvent:
    return TokenEvent(token, text, probability, entropy)


def test_equal_logits_have_entropy_one_and_equal_probabilities() -> None:
    probability, entropy = token_statistics(np.zeros(100, dtype=np.float32), 7, 1.0)
    assert probability == pytest.approx(0.01)
    assert entropy == pytest.approx(1.0)


def test_one_high_logit_has_entropy_zero() -> None:
    logits = np.zeros(100, dtype=np.float32)
    logits[5] = 1000.0
    assert token_statistics(logits, 5, 1.0) == (1.0, pytest.approx(0.0))


def test_temperature_flattens() -> None:
    logits = np.asarray([0.0, 1.0, 4.0], dtype=np.float32)
    cold, hot = token_statistics(logits, 2, 1.0), token_statistics(logits, 2, 3.0)
    assert hot[0] < cold[0]
    assert hot[1] > cold[1]


@given(st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=50), st.floats(0.1, 10))
def test_statistics_stay_in_range_for_any_logits(values: list[float], temperature: float) -> None:
    logits = np.asarray(values, dtype=np.float32)
    probability, entropy = token_statistics(logits, int(logits.argmax()), temperature)
    assert 0 < probability <= 1
    assert 0 <= entropy <= 1


def test_entropy_is_shannons_over_the_logarithm_of_the_vocabulary() -> None:
    logits = np.log(np.asarray([0.5, 0.25, 0.25], dtype=np.float32))
    assert token_statistics(logits, 0, 1.0)[1] == pytest.approx(1.5 * math.log(2) / math.log(3), abs=1e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_confidence_is_a_share_and_depends_on_the_least_likely_token(probabilities: list[float]) -> None:
    events = [event(p) for p in probabilities]
    sure = confidence(events, PLAIN)
    assert 0 <= sure <= 1
    assert sure == confidence([event(min(probabilities))], PLAIN)


def test_a_surer_answer_has_a_higher_confidence() -> None:
    calibration = Calibration(bias=0.2, probability_weight=0.8, entropy_weight=-3.0, eos_token_ids=(EOS,))
    assert confidence([event(0.9, 0.05)], calibration) > confidence([event(0.5, 0.05)], calibration)
    assert confidence([event(0.9, 0.05)], calibration) > confidence([event(0.9, 0.4)], calibration)


def test_no_token_is_no_confidence() -> None:
    made = summarise([], PLAIN)
    assert (made.text, made.confidence, made.max_entropy, made.tokens) == ("", 0.0, 1.0, 0)
    assert made.finish_reason == "length"


def test_a_summary_joins_texts_and_counts_no_end_token() -> None:
    made = summarise([event(0.9, 0.2, 8, "dining"), event(0.8, 0.4, 9, " table"), event(0.99, 0.0, EOS, "")], PLAIN)
    assert made.text == "dining table"
    assert made.max_entropy == 0.4
    assert made.tokens == 2
    assert made.finish_reason == "stop"
