"""Measures how many people's faces are found before an upload, on photos whose people are marked by boxes.

usage: python -m tools.measure_faces --data DIR/coco [--limit N] [--sides 640 320] [--threshold 0.15]
DIR/coco/photos.jsonl has a JSON object a line: {"image", "width", "height", "objects": [{"label", "bbox": [left, top,
width, height]}]}. A person counts as found where the middle of a face that was found lies in the upper 60 % of the
person's box. People who turn away have no face to be found and count against it all the same: this is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_agent.sources.faces import LONG_SIDES, THRESHOLD, FaceFinder
from edge_agent.store import side_models
from edge_agent.types import F32, U8

HEIGHTS = (0.15, 0.3, 0.6, 1.01)  # of a person, in shares of the photo's height: the upper ends of the classes
UPPER = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos.jsonl")
    parser.add_argument("--limit", type=int, default=10_000, help="photos with people at most")
    parser.add_argument("--sides", type=int, nargs="+", default=LONG_SIDES)
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    options = parser.parse_args()
    finder = FaceFinder(side_models.find(side_models.FACES) / "centerface.onnx", options.sides, options.threshold)
    lines = (options.data / "photos.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    peopled = [row for row in rows if _people(row)][: options.limit]
    empty = [row for row in rows if not _people(row)][: options.limit]
    for one in measured(finder, options.data, peopled, empty):
        print(json.dumps({"sides": options.sides, "threshold": options.threshold, **one}))


def _people(row: dict[str, Any]) -> list[list[float]]:
    return [one["bbox"] for one in row["objects"] if one["label"] == "person"]


def measured(
    finder: FaceFinder, data: Path, peopled: list[dict[str, Any]], empty: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Recall by the height of people in the photo, faces outside of people, and faces where nobody is marked."""
    there, found, outside, faces_of, times = Counter[float](), Counter[float](), 0, 0, list[float]()
    for row in peopled:
        pixels = _pixels(data / row["image"])
        began = time.perf_counter()
        faces = finder.find(pixels)
        times.append(time.perf_counter() - began)
        scale = pixels.shape[1] / row["width"]
        boxes = [[number * scale for number in box] for box in _people(row)]
        hits = [[_upper(box, face) for face in faces] for box in boxes]
        faces_of += len(faces)
        outside += sum(not any(column) for column in zip(*hits, strict=True)) if len(faces) else 0
        for box, hit in zip(boxes, hits, strict=True):
            kind = next(end for end in HEIGHTS if box[3] / pixels.shape[0] < end)
            there[kind] += 1
            found[kind] += any(hit)
    nobody = sum(len(finder.find(_pixels(data / row["image"]))) > 0 for row in empty)
    made: list[dict[str, Any]] = [
        {"person_height_below": end, "people": there[end], "recall": round(found[end] / max(1, there[end]), 3)}
        for end in HEIGHTS
    ]
    made.append(
        {
            "photos_with_people": len(peopled),
            "people": sum(there.values()),
            "recall": round(sum(found.values()) / max(1, sum(there.values())), 3),
            "faces_found": faces_of,
            "faces_outside_people": outside,
            "photos_without_people": len(empty),
            "of_those_with_a_face_found": nobody,
            "ms_median": round(1000 * float(np.median(times)), 1),
        }
    )
    return made


def _pixels(path: Path) -> U8:
    return np.asarray(cv2.imread(str(path)), np.uint8)


def _upper(person: list[float], face: F32) -> bool:
    left, top, width, height = person
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return bool(left <= x <= left + width and top <= y <= top + UPPER * height)


if __name__ == "__main__":
    main()
