"""The other way to ask a cloud: the photo itself as JPEG or WebP, encoded into embeddings over there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.types import U8, Embeddings

SIDES = (384, 224)
QUALITIES = (80, 50, 20)


@dataclass(frozen=True, slots=True)
class Way:
    """A photo shrunk to `side` pixels at the long side, if it is larger, in a format of OpenCV's."""

    format: str
    side: int
    quality: int

    @property
    def name(self) -> str:
        return f"{self.format} {self.side} q{self.quality}"


def photo_ways() -> list[Way]:
    """All that are tried."""
    return [Way(name, side, quality) for name in ("jpeg", "webp") for side in SIDES for quality in QUALITIES]


def sent_as_photos(photos: Sequence[U8], way: Way) -> tuple[list[int], list[tuple[Embeddings, ...]]]:
    """Bytes of each photo sent so, and what the shipped encoder makes of it on the other side."""
    import cv2

    from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

    encoder = VisionEncoder(Bundle.open(find_bundle("edge-vqa"), verify=False))
    option = cv2.IMWRITE_JPEG_QUALITY if way.format == "jpeg" else cv2.IMWRITE_WEBP_QUALITY
    sizes, views = [], []
    for photo in photos:
        shrink = min(1.0, way.side / max(photo.shape[:2]))
        small = photo
        if shrink < 1:
            small = np.asarray(cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
        coded = cv2.imencode(f".{way.format}", small, [option, way.quality])[1]
        sizes.append(len(coded))
        views.append(encoder.encode_views(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)))
    return sizes, views
