"""MSAO: offloading by Modality Activation Sparsity, with drafts accepted by their token entropy.

After arXiv 2604.02945. The paper's equations are not public to us; every formula here is **our construction**
(docs/methods.md keeps the two apart):

    S_sp(m)  share of m that is empty: tiles below `tile_entropy_bits`, or STFT frames below `quiet_energy`
    S_tm(m)  share of m that repeats: frames that changed less than `still_share`, or sound without onsets
    beta(m)  softmax over the modalities at hand of how much the question's words ask for m
    MAS(m)   1 - beta(m) * (1 - S_sp(m)) * (1 - S_tm(m)),   1 = can be dropped, 0 = fully needed
    theta    accept a draft whose largest normalised token entropy is <= theta; theta *= decay on a rejected draft,
             and a little back on a confirmed one; only drafts not far above theta (<= 2 theta) count

The sign of MAS is ours. The spatial part is the cheap front that the kernels compute; a probe of early encoder
features can refine it later without changing this seam.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from edge_agent.config import PolicySettings
from edge_agent.policy.base import upload_bytes
from edge_agent.types import (
    Action,
    Decision,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    MotionFeatures,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
    Turn,
)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


SOUND_WORDS = frozenset(
    _words(
        "hear heard hearing listen listening sound sounds sounded noise noises noisy loud quiet bark barking music "
        "voice voices talking speaking say said ring ringing alarm audio"
    )
)
SIGHT_WORDS = frozenset(
    _words(
        "see seen look looks looking picture image photo colour color colored many where left right behind front under "
        "above table wall wearing show shown visible object shape"
    )
)
SIGHT_PRIOR = 1.0  # a question that names no sense is about the picture
WORD_WEIGHT = 2.0
THETA_FLOOR = 0.01
NEAR = 2.0
THETA_RECOVERY = 0.02  # ours: each confirmed draft takes back this share of what rejections cost


class MsaoPolicy:
    """Keeps sparse or redundant evidence on the device; else drafts there and uploads only when the draft is unsure."""

    name = "msao"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        if settings.accept_entropy < 0:
            raise ValueError("accept_entropy must be settled from the model's calibration before a policy is made")
        self._settings = settings
        self._codec = codec
        self.accept_entropy = settings.accept_entropy

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        weights = relevance(features)
        sparsity = {m: self._sparsity(m, weights[m], features) for m in weights}
        richest = min((m for m in sparsity if m in state.encodable), key=lambda m: sparsity[m], default=None)
        plans = tuple(self._plan(m, sparsity[m], m is richest, state) for m in weights)
        image = sparsity.get(Modality.IMAGE)
        if image is None:
            return self._decision(Route.LOCAL, plans, state, "no picture: nothing that the cloud could see better")
        mas = f"MAS(image) = {image:.2f}"
        if image >= self._settings.local_sparsity:
            why = f"{mas} >= {self._settings.local_sparsity:.2f}: too sparse to be worth an upload"
            return self._decision(Route.LOCAL, plans, state, why)
        if self.accept_entropy <= 0:
            return self._decision(Route.CLOUD, _upload(plans, self._codec), state, f"{mas} and accept_entropy is 0")
        why = f"{mas} < {self._settings.local_sparsity:.2f}: draft here, upload above entropy {self.accept_entropy:.3f}"
        return self._decision(Route.CASCADE, _upload(plans, self._codec), state, why)

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

    def _sparsity(self, modality: Modality, beta: float, features: ModalityFeatures) -> float:
        if modality is Modality.IMAGE:
            spatial = spatial_sparsity(features, self._settings.tile_entropy_bits)
            temporal = temporal_sparsity(features.motion, self._settings.still_share)
        else:
            spatial, temporal = sound_sparsity(features.sound, self._settings.quiet_energy)
        return 1.0 - beta * (1.0 - spatial) * (1.0 - temporal)

    def _plan(self, modality: Modality, mas: float, richest: bool, state: SystemState) -> ModalityPlan:
        """What is sparse is dropped, but never everything: the `richest` of what the model can read stays."""
        if modality not in state.encodable:
            return ModalityPlan(modality, Action.DROP, sparsity=mas, reason="the model has no encoder for it")
        if mas >= self._settings.drop_sparsity and not richest:
            return ModalityPlan(modality, Action.DROP, sparsity=mas, reason="carries nothing for this question")
        return ModalityPlan(modality, Action.KEEP, sparsity=mas, reason="the device's model reads it")

    def _decision(self, route: Route, plans: tuple[ModalityPlan, ...], state: SystemState, reason: str) -> Decision:
        goes_up = route is not Route.LOCAL
        return Decision(
            route=route,
            policy=self.name,
            reason=reason,
            plans=plans,
            accept_entropy=self.accept_entropy if route is Route.CASCADE else None,
            predicted_latency_ms=state.cloud_latency_estimate_ms if goes_up else state.local_latency_estimate_ms,
            predicted_bytes=upload_bytes(plans, state),
            predicted_cost_usd=state.cloud_cost_estimate_usd if goes_up else 0.0,
        )


def relevance(features: ModalityFeatures) -> dict[Modality, float]:
    """beta: softmax over the modalities at hand of the question's words about each. Sums to 1; empty without any."""
    words = _words(features.question)
    scores: dict[Modality, float] = {}
    if features.image is not None:
        scores[Modality.IMAGE] = SIGHT_PRIOR + WORD_WEIGHT * sum(w in SIGHT_WORDS for w in words)
    if features.sound is not None:
        scores[Modality.AUDIO] = WORD_WEIGHT * sum(w in SOUND_WORDS for w in words)
    top = max(scores.values(), default=0.0)
    powers = {m: math.exp(s - top) for m, s in scores.items()}
    total = sum(powers.values())
    return {m: p / total for m, p in powers.items()}


def spatial_sparsity(features: ModalityFeatures, empty_below_bits: float) -> float:
    """Share 0..1 of the picture's tiles whose entropy is below `empty_below_bits`; 0 without a picture."""
    if features.image is None or features.image.tile_entropy_bits.size == 0:
        return 0.0
    return float(np.mean(features.image.tile_entropy_bits < empty_below_bits))


def temporal_sparsity(motion: Sequence[MotionFeatures], still_below: float) -> float:
    """Share 0..1 of the frames that add nothing to the one before; a single picture has none."""
    known = [m for m in motion if m.valid]
    return sum(m.changed_share < still_below for m in known) / (len(known) + 1)


def sound_sparsity(sound: SoundFeatures | None, quiet_below: float) -> tuple[float, float]:
    """(share of silent STFT frames, share of frames without an onset), each 0..1; (0, 0) without sound.

    A frame is an onset if its flux reaches a tenth of the window's largest: relative, so that gain does not matter.
    """
    if sound is None or len(sound.energy) == 0:
        return 0.0, 0.0
    silent = float(np.mean(sound.energy < quiet_below))
    peak = float(sound.flux.max(initial=0.0))
    steady = float(np.mean(sound.flux < 0.1 * peak)) if peak > 0 else 1.0
    return silent, steady


def _upload(plans: tuple[ModalityPlan, ...], codec: str) -> tuple[ModalityPlan, ...]:
    """The same plans with what was kept going up."""
    return tuple(
        ModalityPlan(p.modality, Action.UPLOAD, codec, p.tokens, p.sparsity, "read by both models")
        if p.action is Action.KEEP
        else p
        for p in plans
    )
