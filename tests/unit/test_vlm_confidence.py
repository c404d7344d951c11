"""The confidence of an answer is what its definition says, for any tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.types import TokenEvent
from edge_agent.vlm import Calibration, confidence, summarise

EOS = 3
PLAIN = Calibration(eos_token_ids=(EOS,))


def event(probability: float, entropy: float = 0.1, token: int = 9, text: str = "a") -> TokenEvent:
    return TokenEvent(token, text, probability, entropy)


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
