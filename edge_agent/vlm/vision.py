"""The vision encoder with its connector: pictures to the embeddings that the decoders read and the link carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.types import F32, U8, Embeddings
from edge_agent.vlm.bundle import VISION, Bundle
from edge_agent.vlm.image_processor import ImageProcessor, check_picture
from edge_agent.vlm.manifest import VERIFY, read_json
from edge_agent.vlm.session import check_nodes, dtype_of, open_session, run
from edge_agent.vlm.splitting import SplittingProcessor, View


class VisionEncoder:
    """Loads the vision graph of `bundle` on `threads` threads. Safe to call from one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        if not bundle.has_vision:
            raise ModelError(f"{bundle.name} has no vision encoder: it reads embeddings only", "choose an edge bundle")
        self._bundle = bundle
        self._preparing = preparation_of(bundle)
        path = bundle.graph(VISION)
        self._session = open_session(path, threads, bundle.providers)
        nodes = check_nodes(self._session, path, ("pixel_values", "pixel_attention_mask"), ("image_features",))
        self._float = dtype_of(nodes["pixel_values"])

    def encode(self, bgr: U8) -> Embeddings:
        """The whole picture, [H, W, 3] uint8 BGR, as Embeddings [tokens, hidden] float32, a new array.

        Raises InputError, ModelError.
        """
        return self._encode(self._preparing.whole(bgr))

    def encode_tiles(self, bgr: U8) -> Iterator[Embeddings]:
        """The detail views of a picture, row by row, each made when it is asked for; none if the model has none."""
        return map(self._encode, self._preparing.tiles(bgr))

    def encode_views(self, bgr: U8) -> tuple[Embeddings, ...]:
        """The whole picture, then its detail views."""
        return (self.encode(bgr), *self.encode_tiles(bgr))

    def look(self, bgr: U8) -> tuple[Embeddings, ...]:
        """What the bundle's own decoder reads of a picture, in its order: the whole picture; with the idefics3 family,
        where splitting is on, its tiles before it.
        """
        return tuple(map(self._encode, self._preparing.look(bgr)))

    def _encode(self, view: View) -> Embeddings:
        height, width = view.pixels.shape[3:]
        feeds = {
            "pixel_values": view.pixels.astype(self._float, copy=False),
            "pixel_attention_mask": np.ones((1, 1, height, width), dtype=np.bool_),
        }
        (made,) = run(self._session, ["image_features"], feeds, "the vision encoder")
        wanted = (1, self._bundle.tokens_per_image, self._bundle.hidden_size)
        if made.shape != wanted:
            raise ModelError(f"the vision encoder gave {list(made.shape)} instead of {list(wanted)}", VERIFY)
        data: F32 = np.ascontiguousarray(made[0], dtype=np.float32)  # [tokens, hidden]
        return Embeddings(data=data, encoder_id=self._bundle.encoder_id, place=view.place)


class Preparation(Protocol):
    """How a family of models wants to be shown a picture, [H, W, 3] uint8 BGR. All raise InputError."""

    def whole(self, bgr: U8) -> View: ...

    def tiles(self, bgr: U8) -> Iterator[View]: ...

    def look(self, bgr: U8) -> Iterator[View]: ...


class Own:
    """Our own bundles: the whole picture, and a fixed grid of tiles that only a cloud reads."""

    def __init__(self, bundle: Bundle) -> None:
        self._processor = ImageProcessor.from_config(read_json(bundle.path / "preprocessor_config.json"))
        self._detail = bundle.layout.detail

    def whole(self, bgr: U8) -> View:
        return View(self._processor(bgr), None)

    def tiles(self, bgr: U8) -> Iterator[View]:
        return map(self.whole, self._detail.cut(check_picture(bgr)) if self._detail is not None else ())

    def look(self, bgr: U8) -> Iterator[View]:
        return iter((self.whole(bgr),))


class Idefics3:
    """The idefics3 family: a grid that follows the picture's shape, and the whole behind it. No tiles for a cloud."""

    def __init__(self, bundle: Bundle) -> None:
        config = read_json(bundle.path / "preprocessor_config.json")
        self._split = SplittingProcessor.from_config(config, bundle.splitting)
        self._plain = SplittingProcessor.from_config(config, splitting=False)

    def whole(self, bgr: U8) -> View:
        return next(self._plain.views(bgr))

    def tiles(self, bgr: U8) -> Iterator[View]:
        return iter(())

    def look(self, bgr: U8) -> Iterator[View]:
        return self._split.views(bgr)


def preparation_of(bundle: Bundle) -> Preparation:
    """How pictures are prepared for a bundle. Raises ModelError where preprocessor_config.json is unfit."""
    return Idefics3(bundle) if bundle.chats else Own(bundle)
