"""Makes the TFLite files of a bundle's vision encoder, from the very ONNX graph that the bundle ships.

    python -m tools.train.litert_export models/edge-vqa --out build/litert

`vision_encoder.tflite` computes in float with the bundle's int8 weights; `vision_encoder_int8.tflite` computes in int8,
its activation ranges taken from photos. Both take one picture, [1, 1, 3, H, W]. `litert_measure` compares.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_agent.types import F32, U8
from edge_agent.vlm.image_processor import ImageProcessor

CALIBRATION_PHOTOS = 80  # ranges hold all that was seen: with more photos, rarer peaks coarsen the steps
SIGNATURE, INPUT = "serving_default", "args_0"


def convert(onnx_path: Path, height: int, width: int) -> bytes:
    """The float TFLite model of a vision graph, for one picture."""
    import litert_torch
    import torch

    from tools.train.litert_graph import OnnxModule, folded

    torch.set_num_threads(1)
    mask = np.ones((1, 1, height, width), dtype=np.bool_)
    module = OnnxModule(folded(onnx_path, {"b": 1, "n": 1, "images": 1}, {"pixel_attention_mask": mask})).eval()
    made = litert_torch.convert(module, (torch.zeros(1, 1, 3, height, width),))
    return bytes(made.model_content())


def smaller(model: bytes) -> bytes:
    """The same with weights in int8, one scale a channel: they were such numbers before, so nearly nothing changes."""
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(model, recipe.weight_only_wi8_afp32())
    return bytes(made.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)


def quantised(model: bytes, pictures: Iterable[F32]) -> bytes:
    """Everything in int8, input and output too; the ranges of activations are those of `pictures`.

    Ranges hold every value that was seen; the quantiser's own moving average cuts off the largest.
    """
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    made = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(made.get_quantization_recipe())
    ranges = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate({SIGNATURE: [{INPUT: picture} for picture in pictures]}, rules)
    result = made.quantize(ranges.get_model_qsvs(), enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def photos(data: Path, count: int, seed: int) -> list[Path]:
    """`count` photos of the data sets, the same for the same seed."""
    found = sorted(p for name in ("coco", "imagenet", "flickr8k", "daquar") for p in (data / name).rglob("*.jpg"))
    if len(found) < count:
        raise SystemExit(f"{data} holds {len(found)} photos, {count} are needed")
    chosen = np.random.default_rng(seed).permutation(len(found))[:count]
    return [found[int(i)] for i in chosen]


def read(path: Path) -> U8:
    """[H, W, 3] uint8 BGR."""
    import cv2

    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path} cannot be read as a picture")
    bgr: U8 = np.asarray(picture, dtype=np.uint8)
    return bgr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/litert"))
    parser.add_argument("--photos", type=int, default=CALIBRATION_PHOTOS)
    options = parser.parse_args()
    data = os.environ.get("EDGE_AGENT_DATA")
    if not data:
        raise SystemExit("EDGE_AGENT_DATA is not set: export EDGE_AGENT_DATA=/path/to/data")
    processor = ImageProcessor.from_config(json.loads((options.bundle / "preprocessor_config.json").read_text()))
    model = convert(options.bundle / "onnx" / "vision_encoder.onnx", processor.height, processor.width)
    pictures = [processor(read(path)) for path in photos(Path(data), options.photos, 0)]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, made in (("vision_encoder", smaller(model)), ("vision_encoder_int8", quantised(model, pictures))):
        path = options.out / f"{name}.tflite"
        path.write_bytes(made)
        print(json.dumps({"file": str(path), "bytes": len(made)}))


if __name__ == "__main__":
    main()
