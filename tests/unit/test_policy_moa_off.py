"""MoA-Off: complexity per modality, thresholds that move with load and uplink, and what goes along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import PolicySettings
from edge_agent.policy import MoaOffPolicy
from edge_agent.policy.moa_off import image_complexity, sound_complexity, text_complexity
from edge_agent.types import (
    Action,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    Route,
    SoundFeatures,
    SystemState,
)

SETTINGS = PolicySettings(image_complexity=0.6, sound_complexity=0.6, text_complexity=0.8)
BOTH = (Modality.IMAGE, Modality.AUDIO)
ONLINE = SystemState(
    cloud_configured=True, uplink_mbps=20.0, edge_load=0.5, embedding_bytes_estimate=8000, sound_bytes_estimate=500
)
QUESTION = "what is this?"


def picture(entropy: float = 7.8, edges: float = 0.4, laplacian: float = 5000.0) -> ImageFeatures:
    return ImageFeatures(1280, 720, entropy, np.full((23, 40), entropy, np.float32), edges, laplacian)


FLAT = picture(1.0, 0.01, 3.0)


def sound(energy: float, spectral_entropy: float, flux: list[float]) -> SoundFeatures:
    ones = np.ones(len(flux), np.float32)
    return SoundFeatures(
        16000, 512, 160, np.array(flux, np.float32), ones * spectral_entropy, ones, ones * energy, ones
    )


def decide(features: ModalityFeatures, state: SystemState = ONLINE):
    return MoaOffPolicy(SETTINGS).decide(features, state, ())


def test_a_busy_picture_goes_up_and_a_flat_one_stays() -> None:
    busy = decide(ModalityFeatures(image=picture(), question=QUESTION))
    assert busy.route is Route.CLOUD
    assert [p.action for p in busy.plans] == [Action.UPLOAD]
    assert busy.predicted_bytes == 8000
    flat = decide(ModalityFeatures(image=FLAT, question=QUESTION))
    assert flat.route is Route.LOCAL
    assert [p.action for p in flat.plans] == [Action.KEEP]
    assert flat.predicted_bytes == 0


def test_the_reason_names_every_score_and_its_threshold() -> None:
    reason = decide(ModalityFeatures(image=FLAT, sound=sound(0.1, 0.9, [1.0]), question=QUESTION)).reason
    assert "c(image)" in reason
    assert "c(audio) = 0.97 > 0.60" in reason
    assert "c(text) = 0.13 <= 0.80" in reason


def test_one_complex_modality_takes_the_other_along() -> None:
    state = replace(ONLINE, encodable=BOTH)
    decision = decide(ModalityFeatures(image=FLAT, sound=sound(0.1, 0.9, [1.0]), question=QUESTION), state)
    assert decision.route is Route.CLOUD
    assert {p.modality: p.action for p in decision.plans} == dict.fromkeys(BOTH, Action.UPLOAD)


def test_a_modality_that_no_encoder_reads_decides_nothing_and_is_dropped() -> None:
    decision = decide(ModalityFeatures(image=FLAT, sound=sound(0.1, 0.9, [1.0]), question=QUESTION))
    assert decision.route is Route.LOCAL
    assert {p.modality: p.action for p in decision.plans}[Modality.AUDIO] is Action.DROP


def test_a_hard_question_takes_a_simple_picture_up() -> None:
    hard = "Is the second bicycle that Anna parked beside gate 14 on 3 May left of the red Ford or behind it?"
    assert decide(ModalityFeatures(image=FLAT, question=hard)).route is Route.CLOUD


def test_without_evidence_there_is_nothing_to_send() -> None:
    hard = "Who won the 1954 World Cup in Bern, Hungary or Germany, and who shot the 3 goals at the Wankdorf then?"
    assert decide(ModalityFeatures(question=hard)).route is Route.LOCAL


def test_a_slow_uplink_keeps_and_a_busy_device_sends() -> None:
    middling = ModalityFeatures(image=picture(6.0, 0.2, 700.0), question=QUESTION)
    assert decide(middling).route is Route.CLOUD
    slow = replace(ONLINE, uplink_mbps=0.05)
    assert decide(middling, slow).route is Route.LOCAL
    assert decide(middling, replace(slow, edge_load=2.0)).route is Route.CLOUD
    assert decide(middling, replace(slow, edge_load=2.0)) == decide(middling, replace(slow, edge_load=50.0))


def test_scores_by_hand() -> None:
    assert image_complexity(ImageFeatures(1280, 720, 8.0, np.zeros((1, 1), np.float32), 0.22, 6700.0)) == pytest.approx(
        0.85
    )
    assert text_complexity("what is this thing") == pytest.approx(0.7 * 4 / 16)
    assert text_complexity("where is Anna") == pytest.approx(0.7 * 3 / 16 + 0.3)
    assert text_complexity("?!") == 0.0
    assert sound_complexity(sound(1e-9, 0.9, [1.0, 1.0]), 1e-5) == 0.0
    assert sound_complexity(sound(0.1, 0.5, [1.0, 0.0]), 1e-5) == pytest.approx((1 + 0.5 + 0.5) / 3)


@given(
    st.floats(0, 8),
    st.floats(0, 1),
    st.floats(0, 1e7),
    st.none() | st.floats(0, 1e5),
    st.none() | st.floats(0, 100),
    st.text(max_size=200),
)
def test_any_input_is_decided(
    entropy: float, edges: float, laplacian: float, uplink: float | None, load: float | None, question: str
) -> None:
    image = picture(entropy, edges, laplacian)
    assert 0.0 <= image_complexity(image) <= 1.0
    assert 0.0 <= text_complexity(question) <= 1.0
    state = replace(ONLINE, uplink_mbps=uplink, edge_load=load)
    decision = decide(ModalityFeatures(image=image, question=question), state)
    assert decision == decide(ModalityFeatures(image=image, question=question), state)
