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
_NAMES = {m: m.value for m in Modality}

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
        self._settings = settings
        self._codec = codec
        self._base = {
            _IMAGE: settings.image_complexity,
            _AUDIO: settings.sound_complexity,
            _TEXT: settings.text_complexity,
        }

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        scores = complexities(features, self._settings.quiet_energy)
        moved, encodable = _moved(state), state.encodable
        complex_ones, words, readable = [], [], False
        for modality, score in scores.items():
            limit = min(1.0, max(0.0, self._base[modality] + moved))
            known = modality in encodable
            readable |= known
            if score > limit and (known or modality is _TEXT):
                complex_ones.append(modality)
            words.append(f"c({_NAMES[modality]}) = {score:.2f} {'>' if score > limit else '<='} {limit:.2f}")
        up = bool(complex_ones) and readable
        plans = tuple([self._plan(m, m in encodable, up, m in complex_ones) for m in scores if m is not _TEXT])
        return Decision(
            _CLOUD if up else _LOCAL,
            self.name,
            "; ".join(words),
            plans,
            predicted_latency_ms=state.cloud_latency_estimate_ms if up else state.local_latency_estimate_ms,
            predicted_bytes=upload_bytes(plans, state) if up else 0,
            predicted_cost_usd=state.cloud_cost_estimate_usd if up else 0.0,
        )

    def observe(self, outcome: Outcome) -> None:
        """The thresholds move with load and uplink, which every decision is told; outcomes add nothing."""

    def _plan(self, modality: Modality, encodable: bool, up: bool, complex_one: bool) -> ModalityPlan:
        if not encodable:
            return ModalityPlan(modality, _DROP, reason="the model has no encoder for it")
        if not up:
            return ModalityPlan(modality, _KEEP, reason="simple enough for the device")
        why = "complex" if complex_one else "simple, but the cloud answers alone"
        return ModalityPlan(modality, _UPLOAD, self._codec, reason=why)


def complexities(features: ModalityFeatures, quiet_energy: float) -> dict[Modality, float]:
    """Complexity 0..1 of each modality at hand; the question always has one."""
    scores: dict[Modality, float] = {}
    if features.image is not None:
        scores[_IMAGE] = image_complexity(features.image)
    if features.sound is not None and len(features.sound.energy):
        scores[_AUDIO] = sound_complexity(features.sound, quiet_energy)
    scores[_TEXT] = text_complexity(text_of(features))
    return scores


def image_complexity(image: ImageFeatures) -> float:
    """c_img, 0..1: resolution, edges, entropy and focus of one picture."""
    resolution: float = min(1.0, image.width * image.height / REFERENCE_PIXELS)
    edges = min(1.0, image.edge_density / EDGE_DENSITY_95)
    entropy = image.entropy_bits / 8.0
    laplacian = min(1.0, math.log1p(image.laplacian_variance) / LOG_VARIANCE_95)
    return 0.1 * resolution + 0.3 * edges + 0.3 * entropy + 0.3 * laplacian


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
    length = min(1.0, known.words / REFERENCE_WORDS)
    density = min(1.0, known.entities / known.words / ENTITY_SHARE)
    return 0.7 * length + 0.3 * density


def _moved(state: SystemState) -> float:
    """theta - theta_0 of this moment. A busy device lowers it (more goes up), a slow uplink raises it."""
    moved = 0.0
    if state.uplink_mbps is not None and state.uplink_mbps > 0:
        moved += UPLINK_GAIN * math.log2(REFERENCE_MBPS / state.uplink_mbps)
    if state.edge_load is not None:
        moved -= LOAD_GAIN * (min(state.edge_load, LOAD_CEILING) - REFERENCE_LOAD)
    return moved
