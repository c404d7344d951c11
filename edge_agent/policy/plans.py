"""What happens to the modalities at hand where all go the same way: up, or nowhere. Made once, then looked up."""

from __future__ import annotations

from itertools import product

from edge_agent.types import Action, Modality, ModalityFeatures, ModalityPlan, SystemState

Plans = tuple[ModalityPlan, ...]
_IMAGE, _AUDIO = _MODALITIES = (Modality.IMAGE, Modality.AUDIO)  # looking a member up takes its time, too


class PlanBook:
    """The plans of every combination of what is there, what can be encoded and whether it goes up with `codec`."""

    def __init__(self, codec: str) -> None:
        upload = {m: ModalityPlan(m, Action.UPLOAD, codec, reason="goes up with the question") for m in _MODALITIES}
        keep = {m: ModalityPlan(m, Action.KEEP, reason="the device's model reads it") for m in _MODALITIES}
        drop = {m: ModalityPlan(m, Action.DROP, reason="the model has no encoder for it") for m in _MODALITIES}
        self._book: dict[tuple[bool, bool, bool, bool, bool], Plans] = {}
        for image, sound, sees, hears, up in product((False, True), repeat=5):
            present = [(Modality.IMAGE, sees)] * image + [(Modality.AUDIO, hears)] * sound
            chosen = upload if up else keep
            self._book[image, sound, sees, hears, up] = tuple(chosen[m] if can else drop[m] for m, can in present)

    def plans(self, features: ModalityFeatures, state: SystemState, up: bool) -> Plans:
        """One plan a modality that is there; those that no encoder reads are dropped."""
        encodable = state.encodable
        return self._book[
            features.image is not None,
            features.sound is not None,
            _IMAGE in encodable,
            _AUDIO in encodable,
            up,
        ]


def goes_up_bytes(features: ModalityFeatures, state: SystemState) -> int | None:
    """Bytes of embeddings that an upload of all at hand takes; None where a size is not known."""
    total = 0
    if features.image is not None and _IMAGE in state.encodable:
        if state.embedding_bytes_estimate is None:
            return None
        total += state.embedding_bytes_estimate
    if features.sound is not None and _AUDIO in state.encodable:
        if state.sound_bytes_estimate is None:
            return None
        total += state.sound_bytes_estimate
    return total
