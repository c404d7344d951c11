"""How far a TFLite encoder is from the bundle's ONNX encoder, on photos and in answers.

python -m tools.train.litert_measure models/edge-vqa build/litert/vision_encoder.tflite --photos 200
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.types import F32, Embeddings
from edge_agent.vlm import Bundle, Generator, ImageProcessor, VisionEncoder
from edge_agent.vlm.litert import TfliteGraph
from edge_agent.vlm.manifest import read_json
from tools.train.litert_export import photos, read

QUESTIONS = (
    "what is this?",
    "is there a person?",
    "is there a car?",
    "how many people are there?",
    "what colour is it?",
)


def cosines(one: F32, other: F32) -> F32:
    """[tokens, hidden] twice to [tokens]."""
    made: F32 = (one * other).sum(-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1) + 1e-9)
    return made


def answers(generator: Generator, encoded: F32, encoder_id: str) -> list[str]:
    embeddings = [Embeddings(encoded, encoder_id)]
    return ["".join(event.text for event in generator.stream(embeddings, question)) for question in QUESTIONS]


def measure(bundle: Bundle, path: Path, pictures: Sequence[Path]) -> dict[str, Any]:
    """Cosine and largest difference over all tokens, answers changed, and processor time of both, by photo."""
    vision, generator, graph = VisionEncoder(bundle), Generator(bundle), TfliteGraph(path)
    processor = ImageProcessor.from_config(read_json(bundle.path / "preprocessor_config.json"))
    similar, apart, changed, onnx_s, tflite_s = [], [], 0, [], []
    for picture in pictures:
        bgr = read(picture)
        started = time.process_time()
        wanted = vision.encode(bgr).data
        between = time.process_time()
        made = graph.run(processor(bgr))[0]
        onnx_s.append(between - started)
        tflite_s.append(time.process_time() - between)
        similar.append(cosines(made, wanted))
        apart.append(float(np.abs(made - wanted).max()))
        both = (answers(generator, tokens, bundle.encoder_id) for tokens in (wanted, made))
        changed += sum(one != other for one, other in zip(*both, strict=True))
    cosine = np.concatenate(similar)
    return {
        "file": str(path),
        "photos": len(pictures),
        "cosine_mean": round(float(cosine.mean()), 5),
        "cosine_least": round(float(cosine.min()), 5),
        "largest_difference": round(max(apart), 4),
        "answers": len(pictures) * len(QUESTIONS),
        "answers_changed_percent": round(100 * changed / (len(pictures) * len(QUESTIONS)), 2),
        "time_over_onnx": [round(float(np.percentile(np.divide(tflite_s, onnx_s), q)), 2) for q in (25, 50, 75)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("tflite", type=Path, nargs="+")
    parser.add_argument("--photos", type=int, default=200)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    chosen = photos(Path(os.environ["EDGE_AGENT_DATA"]), options.photos, 1)
    for path in options.tflite:
        print(json.dumps(measure(bundle, path, chosen)))


if __name__ == "__main__":
    main()
