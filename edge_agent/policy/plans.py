"""What happens to the modalities at hand where all go the same way: up (of a picture everything, or its overview
alone), or nowhere. Made once, then looked up.
"""

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
        whole = ModalityPlan(_IMAGE, Action.UPLOAD, codec, reason="its overview goes up alone", overview=True)
        self._book: dict[tuple[bool, bool, bool, bool, bool, bool], Plans] = {}
        for image, sound, sees, hears, up, overview in product((False, True), repeat=6):
            present = [(Modality.IMAGE, sees)] * image + [(Modality.AUDIO, hears)] * sound
            chosen = keep if not up else {**upload, _IMAGE: whole} if overview else upload
            made = tuple(chosen[m] if can else drop[m] for m, can in present)
            self._book[image, sound, sees, hears, up, overview] = made

    def plans(self, features: ModalityFeatures, state: SystemState, up: bool, overview: bool = False) -> Plans:
        """One plan a modality that is there; those that no encoder reads are dropped."""
        encodable = state.encodable
        return self._book[
            features.image is not None,
            features.sound is not None,
            _IMAGE in encodable,
            _AUDIO in encodable,
            up,
            overview,
        ]


def goes_up_bytes(features: ModalityFeatures, state: SystemState, overview: bool = False) -> int | None:
    """Bytes of embeddings that an upload of all at hand takes, of a picture its `overview` alone or all views; None
    where a size is not known.
    """
    total = 0
    if features.image is not None and _IMAGE in state.encodable:
        if state.embedding_bytes_estimate is None:
            return None
        total += state.embedding_bytes_estimate // (max(1, state.upload_views) if overview else 1)
    if features.sound is not None and _AUDIO in state.encodable:
        if state.sound_bytes_estimate is None:
            return None
        total += state.sound_bytes_estimate
    return total
