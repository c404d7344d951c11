"""The network that finds faces, on real photos with people. It comes with `edge-agent models pull`, else this skips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.sources.faces import FaceFinder, blurred
from edge_agent.store import side_models
from edge_agent.types import F32, U8
from sides import side_folder

LEAST_RECALL = 0.65  # of people who fill most of the photo's height, turned away or not


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(side_folder(side_models.FACES) / side_models.FACES.files[0].name)


def photos(data_dir: Path, count: int) -> list[tuple[U8, list[list[float]]]]:
    """Photos with a person of more than 60 % of their height, with all such persons' boxes in pixels."""
    folder, made = data_dir / "coco", []
    for line in (folder / "photos.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        tall = [
            one["bbox"] for one in row["objects"] if one["label"] == "person" and one["bbox"][3] > 0.6 * row["height"]
        ]
        if tall and len(made) < count:
            pixels: Any = cv2.imread(str(folder / row["image"]))
            scale = pixels.shape[1] / row["width"]
            made.append((pixels, [[number * scale for number in box] for box in tall]))
    return made


def in_upper_part(person: list[float], face: F32) -> bool:
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    left, top, width, height = person
    return bool(left <= x <= left + width and top <= y <= top + 0.6 * height)


def test_most_faces_of_people_near_by_are_found_and_after_the_blur_few_are(finder: FaceFinder, data_dir: Path) -> None:
    people, found, left = 0, 0, 0
    for pixels, boxes in photos(data_dir, 20):
        faces = finder.find(pixels)
        again = finder.find(blurred(pixels, faces))
        people += len(boxes)
        found += sum(any(in_upper_part(box, face) for face in faces) for box in boxes)
        left += sum(any(in_upper_part(box, face) and face[4] > 0.5 for face in again) for box in boxes)
    assert people >= 20
    assert found / people >= LEAST_RECALL
    assert left <= found / 5  # a mosaic may look like some face; it tells nobody whose


def test_noise_and_odd_shapes_hold_no_sure_face(finder: FaceFinder) -> None:
    for shape in ((1, 1, 3), (3, 400, 3), (400, 3, 3), (480, 640, 3)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        faces = finder.find(pixels)
        assert faces.shape[1] == 5
        assert np.isfinite(faces).all()
        assert not len(faces) or faces[:, 4].max() < 0.5
