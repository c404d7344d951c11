"""MoA-Off: a complexity score per modality from cheap features, each held against a threshold that moves.

After arXiv 2509.16995. We know its idea and the names of its parts second hand; what docs/methods.md marks [I] is
**our construction**, the text of the paper was not available to us:

    c_img   0.1 C_res + 0.3 C_edge + 0.3 C_ent + 0.3 C_lap, each 0..1
    c_aud   (active share + spectral entropy + onset share) / 3
    c_text  0.7 min(1, L / L0) + 0.3 min(1, (entities / L) / e0), over the L words of the question
    theta   theta_0 + UPLINK_GAIN * log2(REFERENCE_MBPS / uplink) - LOAD_GAIN * (load - REFERENCE_LOAD), within 0..1
    d_m     edge if c_m <= theta, else cloud

Where one modality is complex, or the question is, all that are at hand go up: the cloud answers alone and must not be
blind to the simple ones. A pure function: it keeps no state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_agent.config import PolicySettings
from edge_agent.policy.base import upload_bytes
from edge_agent.summary import sound_of, text_features, text_of
from edge_agent.types import (
    Action,
    Decision,
    ImageFeatures,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
    TextFeatures,
    Turn,
)

_IMAGE, _AUDIO, _TEXT = Modality.IMAGE, Modality.AUDIO, Modality.TEXT  # looking a member up takes a while
_DROP, _KEEP, _UPLOAD = Action.DROP, Action.KEEP, Action.UPLOAD
_LOCAL, _CLOUD = Route.LOCAL, Route.CLOUD
_EVIDENCE = (_IMAGE, _AUDIO)
_HUNDREDTHS = tuple(f"{i / 100:.2f}" for i in range(101))  # formatting six numbers takes longer than the rest

REFERENCE_PIXELS = 1280 * 720
# 95th percentiles over 800 photos of four data sets, so that few pictures saturate their score.
EDGE_DENSITY_95 = 0.44
LAPLACIAN_VARIANCE_95 = 6700.0
LOG_VARIANCE_95 = math.log1p(LAPLACIAN_VARIANCE_95)
REFERENCE_WORDS = 16
ENTITY_SHARE = 0.3
REFERENCE_MBPS = 20.0
UPLINK_GAIN = 0.02
REFERENCE_LOAD = 0.5
LOAD_GAIN = 0.2
LOAD_CEILING = 1.5  # runnable tasks a core; beyond it the device is simply busy


class MoaOffPolicy:
    """Routes by complexity: the device answers what is simple, the cloud gets what is complex."""

    name = "moa-off"

    def __init__(self, settings: PolicySettings, codec: str = "int8-zstd") -> None:
        self._image, self._sound, self._text = (
            settings.image_complexity,
            settings.sound_complexity,
            settings.text_complexity,
        )
        self._quiet_energy = settings.quiet_energy
        self._drop = {m: ModalityPlan(m, _DROP, reason="the model has no encoder for it") for m in _EVIDENCE}
        self._keep = {m: ModalityPlan(m, _KEEP, reason="simple enough for the device") for m in _EVIDENCE}
        self._send = {m: ModalityPlan(m, _UPLOAD, codec, reason="complex") for m in _EVIDENCE}
        why = "simple, but the cloud answers alone"
        self._send_too = {m: ModalityPlan(m, _UPLOAD, codec, reason=why) for m in _EVIDENCE}

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        moved, encodable = _moved(state), state.encodable
        above, words = [], []  # of each modality at hand, the question last
        any_complex = readable = False
        for modality, begins, score, base in self._scores(features):
            limit = base + moved
            limit = 0.0 if limit < 0.0 else 1.0 if limit > 1.0 else limit
            is_complex, known = score > limit, modality in encodable
            readable |= known
            any_complex |= is_complex and (known or modality is _TEXT)
            above.append((modality, known, is_complex))
            sign = ">" if is_complex else "<="
            said, of = _HUNDREDTHS[int(100.0 * score + 0.5)], _HUNDREDTHS[int(100.0 * limit + 0.5)]
            words.append(f"{begins}{said} {sign} {of}")
        above.pop()
        if any_complex and readable:
            plans = tuple([(self._send if c else self._send_too)[m] if k else self._drop[m] for m, k, c in above])
            return Decision(
                _CLOUD,
                self.name,
                "; ".join(words),
                plans,
                None,
                None,
                None,
                state.cloud_latency_estimate_ms,
                upload_bytes(plans, state),
                state.cloud_cost_estimate_usd,
            )
        plans = tuple([self._keep[m] if k else self._drop[m] for m, k, _ in above])
        latency_ms = state.local_latency_estimate_ms
        return Decision(_LOCAL, self.name, "; ".join(words), plans, None, None, None, latency_ms, 0, 0.0)

    def observe(self, outcome: Outcome) -> None:
        """The thresholds move with load and uplink, which every decision is told; outcomes add nothing."""

    def _scores(self, features: ModalityFeatures) -> list[tuple[Modality, str, float, float]]:
        """Each modality at hand, how its reason begins, its complexity 0..1, theta_0; the question always last."""
        scores = []
        if features.image is not None:
            scores.append((_IMAGE, "c(image) = ", image_complexity(features.image), self._image))
        if features.sound is not None and len(features.sound.energy):
            scores.append((_AUDIO, "c(audio) = ", sound_complexity(features.sound, self._quiet_energy), self._sound))
        scores.append((_TEXT, "c(text) = ", text_complexity(text_of(features)), self._text))
        return scores


def image_complexity(image: ImageFeatures) -> float:
    """c_img, 0..1: resolution, edges, entropy and focus of one picture."""
    resolution = image.width * image.height / REFERENCE_PIXELS
    edges = image.edge_density / EDGE_DENSITY_95
    laplacian = math.log1p(image.laplacian_variance) / LOG_VARIANCE_95
    return (
        0.1 * (1.0 if resolution > 1.0 else resolution)
        + 0.3 * (1.0 if edges > 1.0 else edges)
        + 0.3 * image.entropy_bits / 8.0
        + 0.3 * (1.0 if laplacian > 1.0 else laplacian)
    )


def sound_complexity(sound: SoundFeatures, quiet_energy: float) -> float:
    """c_aud, 0..1: how much of the sound is not silence, how noise-like its spectrum is, how often something begins."""
    known = sound_of(sound, quiet_energy)
    if known.quiet_share >= 1.0:
        return 0.0
    return (1.0 - known.quiet_share + known.spectral_entropy + known.onset_share) / 3.0


def text_complexity(text: TextFeatures | str) -> float:
    """c_text, 0..1: length in words and share of numbers and names (capitalised words after the first)."""
    known = text_features(text) if isinstance(text, str) else text
    if known.words == 0:
        return 0.0
    length = known.words / REFERENCE_WORDS
    density = known.entities / known.words / ENTITY_SHARE
    return 0.7 * (1.0 if length > 1.0 else length) + 0.3 * (1.0 if density > 1.0 else density)


def _moved(state: SystemState) -> float:
    """theta - theta_0 of this moment. A busy device lowers it (more goes up), a slow uplink raises it."""
    moved = 0.0
    if state.uplink_mbps is not None and state.uplink_mbps > 0:
        moved += UPLINK_GAIN * math.log2(REFERENCE_MBPS / state.uplink_mbps)
    if state.edge_load is not None:
        load = LOAD_CEILING if state.edge_load > LOAD_CEILING else state.edge_load
        moved -= LOAD_GAIN * (load - REFERENCE_LOAD)
    return moved
