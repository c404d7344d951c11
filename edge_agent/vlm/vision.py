"""The vision encoder with its connector: one picture to the embeddings that the decoders read and the link carries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.types import U8, Embeddings
from edge_agent.vlm.bundle import VISION, Bundle
from edge_agent.vlm.image_processor import ImageProcessor, check_picture
from edge_agent.vlm.manifest import VERIFY, read_json
from edge_agent.vlm.session import open_session, run


class VisionEncoder:
    """Loads the vision graph of `bundle` on `threads` threads. Safe to call from one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        if not bundle.has_vision:
            raise ModelError(f"{bundle.name} has no vision encoder: it reads embeddings only", "choose an edge bundle")
        self._bundle = bundle
        self._processor = ImageProcessor.from_config(read_json(bundle.path / "preprocessor_config.json"))
        self._session = open_session(bundle.path / VISION, threads)
        self._mask = np.ones((1, 1, self._processor.height, self._processor.width), dtype=np.bool_)

    def encode(self, bgr: U8) -> Embeddings:
        """The whole picture, [H, W, 3] uint8 BGR, as Embeddings [tokens, hidden] float32, a new array.

        Raises InputError, ModelError.
        """
        feeds = {"pixel_values": self._processor(bgr), "pixel_attention_mask": self._mask}
        (made,) = run(self._session, ["image_features"], feeds, "the vision encoder")
        wanted = (1, self._bundle.tokens_per_image, self._bundle.hidden_size)
        if made.shape != wanted:
            raise ModelError(f"the vision encoder gave {list(made.shape)} instead of {list(wanted)}", VERIFY)
        data = np.ascontiguousarray(made[0], dtype=np.float32)  # [tokens, hidden]
        return Embeddings(data=data, encoder_id=self._bundle.encoder_id)

    def encode_tiles(self, bgr: U8) -> Iterator[Embeddings]:
        """The detail views of a picture, row by row, each made when it is asked for; none if the model has none."""
        detail = self._bundle.layout.detail
        for tile in detail.cut(check_picture(bgr)) if detail is not None else ():
            yield self.encode(tile)

    def encode_views(self, bgr: U8) -> tuple[Embeddings, ...]:
        """The whole picture, then its detail views."""
        return (self.encode(bgr), *self.encode_tiles(bgr))
