"""The MSAO rule, and what every policy keeps to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_agent.config import CloudSettings, PolicySettings
from edge_agent.policy import POLICY_NAMES, MsaoPolicy, make_policy
from edge_agent.policy.msao import relevance, temporal_sparsity
from edge_agent.summary import empty_share_of, empty_tiles, sound_summary, text_features
from edge_agent.types import (
    Action,
    Decision,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    MotionFeatures,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
)

ONLINE = SystemState(cloud_configured=True, deadline_ms=1000.0, max_cost_usd=1.0, budget_left_usd=1.0)


def picture(tile_bits: float = 6.0) -> ImageFeatures:
    return ImageFeatures(640, 480, tile_bits, np.full((15, 20), tile_bits, np.float32), 0.1, 100.0)


def motion(changed: float) -> MotionFeatures:
    return MotionFeatures(1.0, changed, np.zeros((1, 1), np.float32), True)


def sound(energy: float) -> SoundFeatures:
    ones = np.ones(10, np.float32)
    return SoundFeatures(16000, 512, 160, ones, ones, ones, ones * energy, ones)


def features(question: str = "what is on the table?", **parts: object) -> ModalityFeatures:
    return ModalityFeatures(question=question, **{"image": picture(), **parts})  # type: ignore[arg-type]


SETTINGS = PolicySettings(accept_entropy=0.1)


def msao() -> MsaoPolicy:
    return MsaoPolicy(SETTINGS)


def test_a_rich_picture_is_drafted_here_and_goes_up_when_unsure() -> None:
    decision = msao().decide(features(), ONLINE, ())
    assert decision.route is Route.CASCADE
    assert decision.accept_entropy == SETTINGS.accept_entropy
    assert [p.action for p in decision.plans] == [Action.UPLOAD]
    assert decision.plans[0].codec == "int8-zstd"


def test_an_empty_picture_stays_on_the_device() -> None:
    decision = msao().decide(features(image=picture(0.5)), ONLINE, ())
    assert decision.route is Route.LOCAL
    assert "too sparse" in decision.reason


def test_frames_that_repeat_make_a_picture_sparser() -> None:
    still = msao().decide(features(motion=(motion(0.0),) * 9), ONLINE, ()).plans[0].sparsity
    moving = msao().decide(features(motion=(motion(0.5),) * 9), ONLINE, ()).plans[0].sparsity
    assert still is not None
    assert moving is not None
    assert still > moving


def test_sound_is_dropped_while_no_encoder_reads_it() -> None:
    decision = msao().decide(features("what do you hear?", sound=sound(0.1)), ONLINE, ())
    plans = {p.modality: p for p in decision.plans}
    assert plans[Modality.AUDIO].action is Action.DROP
    assert "no encoder" in plans[Modality.AUDIO].reason


@pytest.mark.parametrize(("energy", "kept"), [(0.0, Modality.IMAGE), (0.5, Modality.AUDIO)])
def test_of_a_blank_picture_and_a_sound_at_least_the_richer_one_stays(energy: float, kept: Modality) -> None:
    state = replace(ONLINE, encodable=(Modality.IMAGE, Modality.AUDIO))
    blank = features("what is in the picture?", image=picture(0.0), motion=(motion(0.0),), sound=sound(energy))
    plans = {plan.modality: plan.action for plan in msao().decide(blank, state, ()).plans}
    assert plans[kept] is not Action.DROP


@pytest.mark.parametrize(("views", "heard", "wanted"), [(1, False, 9604), (5, False, 48020), (5, True, 49980)])
def test_the_predicted_bytes_are_those_of_all_views_and_of_the_sound(views: int, heard: bool, wanted: int) -> None:
    state = replace(
        ONLINE,
        encodable=(Modality.IMAGE, Modality.AUDIO),
        upload_views=views,
        embedding_bytes_estimate=9604 * views,
        sound_bytes_estimate=1960,
    )
    settings = PolicySettings(name="cloud")
    policy = make_policy(settings, CloudSettings())
    decision = policy.decide(features("what?", sound=sound(0.1) if heard else None), state, ())
    assert decision.predicted_bytes == wanted


def test_a_question_about_sound_weighs_sound_more() -> None:
    hear = relevance(features("what do you hear?", sound=sound(0.1)))
    see = relevance(features("what colour is it?", sound=sound(0.1)))
    assert hear[Modality.AUDIO] > 0.5 > see[Modality.AUDIO]
    assert sum(hear.values()) == pytest.approx(1.0)


def test_silent_sound_is_sparser_than_loud_sound() -> None:
    def mas(energy: float) -> float:
        plans = msao().decide(features("what do you hear?", sound=sound(energy)), ONLINE, ()).plans
        return next(p.sparsity for p in plans if p.modality is Modality.AUDIO) or 0.0

    assert mas(0.0) > mas(0.1)


def outcome(accepted: bool | None, policy: str = "msao", entropy: float | None = 0.001) -> Outcome:
    decision = Decision(Route.CASCADE, policy, "")
    return Outcome(decision, Route.CLOUD, 1.0, 1, 0.0, 0.5, "draft", entropy, accepted)


def test_rejected_drafts_lower_the_threshold_and_confirmed_ones_bring_it_back() -> None:
    policy = msao()
    start = policy.accept_entropy
    policy.observe(outcome(False))
    assert policy.accept_entropy == pytest.approx(start * 0.95)
    low = policy.accept_entropy
    policy.observe(outcome(True))
    assert low < policy.accept_entropy < start
    for _ in range(1000):
        policy.observe(outcome(False))
    assert 0 < policy.accept_entropy < start


def test_outcomes_of_others_or_without_a_draft_teach_nothing() -> None:
    policy = msao()
    policy.observe(outcome(None))
    policy.observe(outcome(False, policy="cloud"))
    policy.observe(outcome(False, entropy=None))
    assert policy.accept_entropy == SETTINGS.accept_entropy


def test_a_draft_far_above_the_threshold_says_nothing_about_it() -> None:
    policy = msao()
    for _ in range(50):
        policy.observe(outcome(False, entropy=2.01 * SETTINGS.accept_entropy))
    assert policy.accept_entropy == SETTINGS.accept_entropy
    policy.observe(outcome(False, entropy=1.99 * SETTINGS.accept_entropy))
    assert policy.accept_entropy < SETTINGS.accept_entropy


def test_sparsity_is_a_share() -> None:
    half = ImageFeatures(2, 1, 1.0, np.array([[1.0, 7.0]], np.float32), 0.0, 0.0)
    assert empty_share_of(half, 3.0) == 0.5
    assert empty_tiles(np.zeros((0, 0), np.float32), 3.0).share == 0.0
    assert temporal_sparsity((motion(0.0), motion(0.9)), 0.01) == pytest.approx(1 / 3)


def test_sums_made_with_another_threshold_are_made_anew() -> None:
    tiles = np.array([[1.0, 4.0, 7.0, 8.0]], np.float32)
    image = ImageFeatures(4, 1, 1.0, tiles, 0.0, 0.0, empty=empty_tiles(tiles, 3.0))
    assert empty_share_of(image, 3.0) == 0.25
    assert empty_share_of(image, 7.5) == 0.75


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_a_decision_is_the_same_with_and_without_sums(name: str) -> None:
    settings = replace(SETTINGS, name=name)
    plain = features("what do you hear, and how many cups are left of Anna?", sound=sound(0.1))
    image, heard = plain.image, plain.sound
    assert image is not None
    assert heard is not None
    summed = replace(
        plain,
        image=replace(image, empty=empty_tiles(image.tile_entropy_bits, settings.tile_entropy_bits)),
        sound=replace(heard, summary=sound_summary(heard, settings.quiet_energy)),
        text=text_features(plain.question),
    )
    state = replace(ONLINE, encodable=(Modality.IMAGE, Modality.AUDIO))
    assert make_policy(settings, CloudSettings()).decide(plain, state, ()) == make_policy(
        settings, CloudSettings()
    ).decide(summed, state, ())


def test_every_name_makes_a_policy_of_that_name() -> None:
    for name in POLICY_NAMES:
        policy = make_policy(replace(SETTINGS, name=name), CloudSettings())
        assert policy.name == name
        assert policy.decide(features(), ONLINE, ()).policy == name


def test_a_threshold_left_to_the_model_must_be_settled_first() -> None:
    with pytest.raises(ValueError, match="calibration"):
        MsaoPolicy(PolicySettings())
