"""What a question is about, checked and in the order in which the decoder reads it: views of pictures, then sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.types import F32, Embeddings, Modality
from edge_agent.vlm.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Evidence:
    """`parts` [tokens, hidden] float32 each; `positions` of all their rows, one after the other."""

    parts: tuple[F32, ...]
    positions: tuple[int, ...]

    @classmethod
    def of(cls, bundle: Bundle, embeddings: Sequence[Embeddings]) -> Evidence:
        """Images are the views of at most `max_images` pictures, each begun by the whole one; at most one sound.

        Raises ModelError: too many of them, of another encoder than the bundle's, not of its shape, or not finite.
        """
        views = [one for one in embeddings if one.modality is Modality.IMAGE]
        sounds = [one for one in embeddings if one.modality is not Modality.IMAGE]
        layout = bundle.layout
        if len(views) > layout.max_images * layout.views_per_image:
            raise ModelError(
                f"{bundle.name} takes {layout.max_images} picture(s) of {layout.views_per_image} view(s) a question, "
                f"got {len(views)} views",
                "send the newest one",
            )
        if len(sounds) > (layout.sound is not None):
            takes = "one sound" if layout.sound is not None else "no sound"
            raise ModelError(f"{bundle.name} takes {takes} a question, got {len(sounds)}", "ask about the picture")
        positions: list[int] = []
        for index, one in enumerate(views):
            _check(one, bundle, bundle.encoder_id, layout.tokens_per_image)
            positions += range(index * layout.tokens_per_image, (index + 1) * layout.tokens_per_image)
        for one in sounds:
            tokens = layout.sound.tokens if layout.sound is not None else 0
            _check(one, bundle, bundle.audio_encoder_id, tokens)
            positions += range(layout.audio_position, layout.audio_position + tokens)
        parts = tuple(one.data.astype(np.float32, copy=False) for one in (*views, *sounds))
        return cls(parts, tuple(positions))

    def before(self, text: F32) -> F32:
        """[rows + t, hidden]: all evidence, then the `text` [t, hidden]."""
        return np.concatenate([*self.parts, text])


def _check(one: Embeddings, bundle: Bundle, encoder_id: str, tokens: int) -> None:
    if one.encoder_id != encoder_id:
        raise ModelError(
            f"{bundle.name} reads embeddings of {encoder_id}, these are of {one.encoder_id}",
            "use an edge and a cloud bundle of the same release",
        )
    wanted = (tokens, bundle.hidden_size)
    if one.data.shape != wanted or not np.isfinite(one.data).all():
        raise ModelError(
            f"embeddings must be {list(wanted)} finite numbers, got {list(one.data.shape)}",
            "encode it again",
        )
