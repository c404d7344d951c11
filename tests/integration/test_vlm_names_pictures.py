"""The device's model names what it was never shown: photos held out of training, one a class, by their class names."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle, summarise

LEAST_PERCENT = 45.0
HELD_OUT_PERMILLE = 60  # as tools/train/views.py holds them out


@pytest.fixture(scope="module")
def held_out(data_dir: Path) -> list[dict[str, str]]:
    lines = (data_dir / "imagenet" / "photos.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if zlib.crc32(row["image"].encode()) % 1000 < HELD_OUT_PERMILLE]


def test_it_names_at_least_45_of_100_photos_that_it_was_not_trained_on(
    data_dir: Path, held_out: list[dict[str, str]]
) -> None:
    import cv2

    bundle = Bundle.open(find_bundle("edge-vqa"))
    vision, generator = VisionEncoder(bundle), Generator(bundle)
    right = 0
    for row in held_out:
        seen = vision.encode(np.asarray(cv2.imread(str(data_dir / "imagenet" / row["image"])), dtype=np.uint8))
        said = summarise(list(generator.stream([seen], "what is this?")), bundle.calibration).text
        right += said == row["label"].replace("_", " ").lower()
    assert len(held_out) > 40
    assert 100 * right / len(held_out) >= LEAST_PERCENT
