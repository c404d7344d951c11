"""What a question is about, checked and in the order in which our decoders read it: views of a picture, then sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.types import F32, Embeddings, Modality
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.prompt import Chunk, Piece


def evidence(bundle: Bundle, embeddings: Sequence[Embeddings]) -> Chunk:
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
    pieces = []
    for index, one in enumerate(views):
        data = checked(one, bundle, bundle.encoder_id, layout.tokens_per_image)
        pieces.append(Piece(index * layout.tokens_per_image, data=data))
    for one in sounds:
        tokens = layout.sound.tokens if layout.sound is not None else 0
        pieces.append(Piece(layout.audio_position, data=checked(one, bundle, bundle.audio_encoder_id, tokens)))
    return tuple(pieces)


def checked(one: Embeddings, bundle: Bundle, encoder_id: str, tokens: int) -> F32:
    """[tokens, hidden] float32 of `one`. Raises ModelError where it is not what the encoder would have made."""
    if one.encoder_id not in (encoder_id, *bundle.manifest.also_reads):
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
    return one.data.astype(np.float32, copy=False)
