"""The shipped pair sees: its answers about real photos are better with the right photo than with another one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle, summarise

LEAST_GAIN = 8.0


@pytest.fixture(scope="module")
def rows(data_dir: Path) -> list[dict[str, str]]:
    lines = (data_dir / "coco" / "dev.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def photos(data_dir: Path, rows: list[dict[str, str]]) -> dict[str, Embeddings]:
    import cv2

    vision = VisionEncoder(Bundle.open(find_bundle("edge-vqa")))
    names = dict.fromkeys(row["image"] for row in rows)
    return {n: vision.encode(np.asarray(cv2.imread(str(data_dir / "coco" / n)), dtype=np.uint8)) for n in names}


@pytest.mark.parametrize("name", ["edge-vqa", "cloud-vqa"])
def test_the_right_photo_is_worth_at_least_eight_points(
    name: str, rows: list[dict[str, str]], photos: dict[str, Embeddings]
) -> None:
    bundle = Bundle.open(find_bundle(name))
    generator, names = Generator(bundle), list(photos)
    other = {n: names[(i + len(names) // 2) % len(names)] for i, n in enumerate(names)}

    def right(row: dict[str, str], photo: str) -> bool:
        made = summarise(list(generator.stream([photos[photo]], row["question"], max_new_tokens=6)), bundle.calibration)
        return made.text == row["answer"]

    seen = np.mean([right(row, row["image"]) for row in rows]) * 100
    blind = np.mean([right(row, other[row["image"]]) for row in rows]) * 100
    assert seen - blind >= LEAST_GAIN, f"{seen:.1f} with the photo, {blind:.1f} with another"
