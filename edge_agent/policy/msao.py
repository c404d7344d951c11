"""MSAO: offloading by Modality Activation Sparsity, with drafts accepted by their token entropy.

After arXiv 2604.02945. The paper's equations are not public to us; every formula here is **our construction**
(docs/methods.md keeps the two apart):

    S_sp(m)  share of m that is empty: tiles below `tile_entropy_bits`, or STFT frames below `quiet_energy`
    S_tm(m)  share of m that repeats: frames that changed less than `still_share`, or sound without onsets
    beta(m)  softmax over the modalities at hand of how much the question's words ask for m
    MAS(m)   1 - beta(m) * (1 - S_sp(m)) * (1 - S_tm(m)),   1 = can be dropped, 0 = fully needed
    compress a picture that goes up with MAS >= `overview_sparsity` does so as its overview alone
    theta    accept a draft whose largest normalised token entropy is <= theta; theta *= decay on a rejected draft,
             and a little back on a confirmed one; only drafts not far above theta (<= 2 theta) count

The sign of MAS is ours. The spatial part is the cheap front that the kernels compute; a probe of early encoder
features can refine it later without changing this seam.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeGuard

from edge_agent.config import PolicySettings
from edge_agent.policy.base import upload_bytes
from edge_agent.summary import empty_share_of, sound_of, text_of
from edge_agent.types import (
    Action,
    Decision,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    MotionFeatures,
    Outcome,
    Route,
    SystemState,
    Turn,
)

_IMAGE, _AUDIO = Modality.IMAGE, Modality.AUDIO  # looking a member up takes as long as a small decision's step
_DROP, _KEEP, _UPLOAD = Action.DROP, Action.KEEP, Action.UPLOAD
_LOCAL, _CLOUD, _CASCADE = Route.LOCAL, Route.CLOUD, Route.CASCADE

_STAYS = (_KEEP, None, "the device's model reads it", False)

SIGHT_PRIOR = 1.0  # a question that names no sense is about the picture
WORD_WEIGHT = 2.0
THETA_FLOOR = 0.01
STATE_VERSION = 1
SAME = 1e-9
NEAR = 2.0
THETA_RECOVERY = 0.02  # ours: each confirmed draft takes back this share of what rejections cost


class MsaoPolicy:
    """Keeps sparse or redundant evidence on the device; else drafts there and uploads only when the draft is unsure."""

    name = "msao"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        if settings.accept_entropy < 0:
            raise ValueError("accept_entropy must be settled from the model's calibration before a policy is made")
        self._settings = settings
        self._up = (_UPLOAD, codec, "read by both models", False)
        self._compressed = (_UPLOAD, codec, "sparse enough for its overview alone", True)
        self._limit = f"{settings.local_sparsity:.2f}"
        self.accept_entropy = settings.accept_entropy

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        sparsity = self._sparsities(features)
        if features.image is None:
            plans = self._plans(sparsity, state, goes_up=False)
            return stays(plans, state, "no picture: nothing that the cloud could see better")
        image = sparsity[0][1]
        goes_up = image < self._settings.local_sparsity
        plans = self._plans(sparsity, state, goes_up)
        if not goes_up:
            return stays(plans, state, f"MAS(image) = {image:.2f} >= {self._limit}: too sparse to be worth an upload")
        theta = self.accept_entropy
        if theta > 0:
            why = f"MAS(image) = {image:.2f} < {self._limit}: draft here, upload above entropy {theta:.3f}"
        else:
            why = f"MAS(image) = {image:.2f} and accept_entropy is 0"
        return Decision(
            _CASCADE if theta > 0 else _CLOUD,
            self.name,
            why,
            plans,
            theta if theta > 0 else None,
            None,
            None,
            state.cloud_latency_estimate_ms,
            upload_bytes(plans, state),
            state.cloud_cost_estimate_usd,
        )

    def observe(self, outcome: Outcome) -> None:
        """Move the threshold: decay on a draft that the cloud did not confirm, slow recovery on a confirmed one.

        Only drafts above the threshold ever reach the cloud. One far above it is expected to be rejected and says
        nothing about those that are accepted; without this, every hard question would lower the threshold.
        """
        if outcome.decision.policy != self.name or outcome.draft_accepted is None:
            return
        if outcome.draft_entropy is None or outcome.draft_entropy > NEAR * self.accept_entropy:
            return
        if outcome.draft_accepted:
            self.accept_entropy += THETA_RECOVERY * (self._settings.accept_entropy - self.accept_entropy)
        else:
            floor = min(THETA_FLOOR, self._settings.accept_entropy)
            self.accept_entropy = max(floor, self.accept_entropy * self._settings.accept_decay)

    def state(self) -> dict[str, Any]:
        """Where the threshold stands, and where it started: a threshold means something for one calibration alone."""
        started = self._settings.accept_entropy
        return {"version": STATE_VERSION, "started_at": started, "accept_entropy": self.accept_entropy}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up an earlier `state`. Raises ValueError where it does not fit."""
        started, now = state.get("started_at"), state.get("accept_entropy")
        if state.get("version") != STATE_VERSION or not (_is_share(started) and _is_share(now)):
            raise ValueError("it holds no threshold of this version")
        if abs(started - self._settings.accept_entropy) > SAME:
            raise ValueError("its threshold was moved from another model's calibration")
        if not min(THETA_FLOOR, started) - SAME <= now <= started + SAME:
            raise ValueError("its threshold is out of range")
        self.accept_entropy = float(now)

    def _sparsities(self, features: ModalityFeatures) -> list[tuple[Modality, float]]:
        """MAS of each modality at hand, the picture first."""
        settings, sparsity = self._settings, []
        image, sound = asked_for(features)
        if features.image is not None:
            spatial = empty_share_of(features.image, settings.tile_entropy_bits)
            temporal = temporal_sparsity(features.motion, settings.still_share) if features.motion else 0.0
            sparsity.append((_IMAGE, 1.0 - image * (1.0 - spatial) * (1.0 - temporal)))
        if features.sound is not None:
            heard = sound_of(features.sound, settings.quiet_energy)
            sparsity.append((_AUDIO, 1.0 - sound * (1.0 - heard.quiet_share) * heard.onset_share))
        return sparsity

    def _plans(
        self, sparsity: list[tuple[Modality, float]], state: SystemState, goes_up: bool
    ) -> tuple[ModalityPlan, ...]:
        """What is sparse is dropped, but never everything: the richest of what the model can read stays."""
        drop, encodable = self._settings.drop_sparsity, state.encodable
        plans: tuple[ModalityPlan, ...] = ()
        for modality, mas in sparsity:
            if modality not in encodable:
                plan = ModalityPlan(modality, _DROP, None, None, mas, "the model has no encoder for it")
            elif mas >= drop and mas > richest(sparsity, encodable):
                plan = ModalityPlan(modality, _DROP, None, None, mas, "carries nothing for this question")
            else:
                compressed = modality is _IMAGE and mas >= self._settings.overview_sparsity
                action, codec, why, overview = _STAYS if not goes_up else self._compressed if compressed else self._up
                plan = ModalityPlan(modality, action, codec, None, mas, why, None, overview)
            plans += (plan,)
        return plans


def richest(sparsity: Sequence[tuple[Modality, float]], encodable: Sequence[Modality]) -> float:
    """The smallest MAS of what the model can read; 2 where it can read nothing."""
    return min((mas for modality, mas in sparsity if modality in encodable), default=2.0)


def stays(plans: tuple[ModalityPlan, ...], state: SystemState, reason: str) -> Decision:
    """The decision that nothing goes up."""
    return Decision(_LOCAL, MsaoPolicy.name, reason, plans, None, None, None, state.local_latency_estimate_ms, 0, 0.0)


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def relevance(features: ModalityFeatures) -> dict[Modality, float]:
    """beta: softmax over the modalities at hand of the question's words about each. Sums to 1; empty without any."""
    image, sound = asked_for(features)
    shares = {_IMAGE: image} if features.image is not None else {}
    return shares | ({_AUDIO: sound} if features.sound is not None else {})


def asked_for(features: ModalityFeatures) -> tuple[float, float]:
    """beta of the picture and of the sound; 0 for what is not at hand."""
    if features.image is None or features.sound is None:
        return (0.0 if features.image is None else 1.0), (0.0 if features.sound is None else 1.0)
    text = text_of(features)
    return _shares(text.sight_words - text.sound_words)


@lru_cache(maxsize=64)
def _shares(more_sight_words: int) -> tuple[float, float]:
    """The softmax of two, which is a logistic function."""
    lead = SIGHT_PRIOR + WORD_WEIGHT * more_sight_words
    less = math.exp(-abs(lead))
    more = 1.0 / (1.0 + less)
    return (more, less * more) if lead >= 0 else (less * more, more)


def temporal_sparsity(motion: Sequence[MotionFeatures], still_below: float) -> float:
    """Share 0..1 of the frames that add nothing to the one before; a single picture has none."""
    known = [m for m in motion if m.valid]
    return sum(m.changed_share < still_below for m in known) / (len(known) + 1)
