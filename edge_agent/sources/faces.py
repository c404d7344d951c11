"""Faces, found and made unrecognisable before a question sees the picture: CenterFace, run by OpenCV."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError
from edge_agent.types import F32, U8, Frame, Observation

OUTPUTS = ("537", "538", "539", "540")
"""[1, 1, h, w] how likely a face is centred here; [1, 2, h, w] log of its height and width in cells; [1, 2, h, w] where
in the cell, y and x; landmarks (https://github.com/Star-Clouds/CenterFace, centerface.py).
"""
CELL = 4  # pixels of the network's picture
MULTIPLE = 32
LONG_SIDES = (640, 320)  # pixels that the network sees: small faces in the larger picture, large ones in the smaller
THRESHOLD = 0.15  # low: a cushion that is blurred harms less than a face that is not
OVERLAP = 0.3
MARGIN = 0.25  # of a face's size, blurred around it on each side
CELLS = 5  # of a blurred face, in each direction: so many averages are left of it, or one of each 4 pixels


class FaceFinder:
    """Finds faces in pictures. `path`: centerface.onnx. Safe to use from several threads, one after the other.

    Raises ModelError where the file cannot be run.
    """

    def __init__(self, path: Path, long_sides: Sequence[int] = LONG_SIDES, threshold: float = THRESHOLD) -> None:
        import cv2

        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise ModelError(f"{path} cannot be loaded ({error.err or error})", "pull it again") from error
        self._long_sides, self._threshold = tuple(long_sides), threshold
        self._lock = threading.Lock()

    def find(self, pixels: U8) -> F32:
        """[n, 5] float32 of a picture [H, W, 3] uint8 BGR: left, top, right, bottom in pixels, possibly beyond its
        edge, and how sure it is. Raises ModelError.
        """
        return _without_doubles(np.concatenate([self._find(pixels, side) for side in self._long_sides]))

    def _find(self, pixels: U8, long_side: int) -> F32:
        """What is found where the picture's longer side has so many pixels."""
        import cv2

        height, width = pixels.shape[:2]
        scale = long_side / max(height, width)
        rows, columns = (max(1, -(-round(size * scale) // MULTIPLE)) * MULTIPLE for size in (height, width))
        try:
            with self._lock:
                self._network.setInput(cv2.dnn.blobFromImage(pixels, 1.0, (columns, rows)))  # [1, 3, rows, columns]
                outputs = self._network.forward(list(OUTPUTS))
        except cv2.error as error:
            raise ModelError(f"looking for faces failed ({error.err or error})", "pull the network again") from error
        boxes = _boxes(outputs, self._threshold)
        boxes[:, [0, 2]] *= width / columns
        boxes[:, [1, 3]] *= height / rows
        return boxes


def _boxes(outputs: Sequence[NDArray[Any]], threshold: float) -> F32:
    """What the network says, as [n, 5] in its own pixels."""
    likely, sizes, offsets = (np.asarray(one, np.float32)[0] for one in outputs[:3])
    rows, columns = np.nonzero(likely[0] > threshold)
    high, wide = np.exp(np.minimum(sizes[:, rows, columns], 8.0)) * CELL
    middle_y = (rows + offsets[0, rows, columns] + 0.5) * CELL
    middle_x = (columns + offsets[1, rows, columns] + 0.5) * CELL
    edges = (middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2)
    return np.stack([*edges, likely[0, rows, columns]], axis=1).astype(np.float32)


def _without_doubles(boxes: F32) -> F32:
    """Of boxes that overlap by more than OVERLAP (intersection over union) the surest."""
    kept: list[F32] = []
    for box in boxes[np.argsort(-boxes[:, 4])]:
        if all(_overlap(box, one) <= OVERLAP for one in kept):
            kept.append(box)
    return np.stack(kept) if kept else np.zeros((0, 5), np.float32)


def _overlap(one: F32, other: F32) -> float:
    across = float(min(one[2], other[2]) - max(one[0], other[0]))
    down = float(min(one[3], other[3]) - max(one[1], other[1]))
    shared = max(0.0, across) * max(0.0, down)
    areas = sum(float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other))
    return shared / max(areas - shared, 1e-6)


def blurred(pixels: U8, faces: F32) -> U8:
    """A copy of `pixels` [H, W, 3] with each of `faces` [n, 5] and a margin around it reduced to a few averages; itself
    without faces.
    """
    import cv2

    if not len(faces):
        return pixels
    made: U8 = pixels.copy()
    height, width = pixels.shape[:2]
    for left, top, right, bottom in faces[:, :4]:
        aside, above = MARGIN * (right - left), MARGIN * (bottom - top)
        x0, x1 = max(0, int(left - aside)), min(width, int(np.ceil(right + aside)))
        y0, y1 = max(0, int(top - above)), min(height, int(np.ceil(bottom + above)))
        if x0 < x1 and y0 < y1:
            part = made[y0:y1, x0:x1]
            cells = [max(1, min(CELLS, size // 4)) for size in (x1 - x0, y1 - y0)]
            small = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
            made[y0:y1, x0:x1] = cv2.resize(small, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    return made


class FaceVeil:
    """Blurs the faces of what a question is about, before anything is computed of it.

    In the picture that the model looks at they are looked for; the frames before it, which only tell what moved and
    never leave the device, are blurred in the same places, so that no blur counts as motion.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._last: tuple[weakref.ref[U8], F32] | None = None

    def __call__(self, observation: Observation) -> Observation:
        """The same question about veiled frames. Raises ModelError: then nothing may be asked."""
        if not observation.frames:
            return observation
        shown = observation.frames[observation.key_frame]
        faces = self._found(shown.pixels)
        if not len(faces):
            return observation
        frames = tuple(_veiled(one, shown, faces) for one in observation.frames)
        return replace(observation, frames=frames)

    def _found(self, pixels: U8) -> F32:
        """Faces of a picture; of the one that was looked at last, which is also kept for the cloud, without a look."""
        last = self._last
        if last is not None and last[0]() is pixels:
            return last[1]
        faces = self._finder.find(pixels)
        self._last = weakref.ref(pixels), faces
        return faces


def _veiled(frame: Frame, shown: Frame, faces: F32) -> Frame:
    if frame.pixels.shape != shown.pixels.shape:
        return frame
    return replace(frame, pixels=blurred(frame.pixels, faces))
