"""Does this build compute the right thing on this machine? A drawn picture's embeddings beside the release's."""

from __future__ import annotations

import numpy as np

from edge_agent.errors import SelfTestError
from edge_agent.types import F32, U8
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.confidence import summarise
from edge_agent.vlm.generate import Generator
from edge_agent.vlm.vision import VisionEncoder

QUESTION = "what color is the shape?"
TOLERANCE = 0.05


def picture() -> U8:
    """[96, 128, 3] uint8 BGR: a red disc on a light slope, drawn without any library."""
    rows, cols = np.mgrid[0:96, 0:128]
    drawn = np.stack([200 + cols // 4, 210 + rows // 4, 220 + (rows + cols) // 8], axis=-1)
    drawn[(rows - 48) ** 2 + (cols - 64) ** 2 < 900] = (20, 20, 230)
    made: U8 = drawn.astype(np.uint8)
    return made


def probe(data: F32) -> list[float]:
    """Sixteen of the embeddings' values, spread over tokens and channels: what the manifest keeps."""
    flat = data.reshape(-1)
    return [round(float(v), 4) for v in flat[:: len(flat) // 16][:16]]


def self_test(bundle: Bundle, threads: int = 1) -> str:
    """Encodes and answers; returns the answer. Raises SelfTestError if numbers or words are not those of the release.

    Some processors compute convolutions wrongly under some versions of ONNX Runtime, without any error.
    """
    golden = bundle.manifest.golden
    if golden is None or not bundle.has_vision:
        raise SelfTestError(f"{bundle.name} has no golden values to compare with", "test the edge bundle")
    embeddings = VisionEncoder(bundle, threads).encode(picture())
    worst = float(np.abs(np.subtract(probe(embeddings.data), golden.embedding)).max())
    answer = summarise(list(Generator(bundle, threads).stream([embeddings], QUESTION)), bundle.calibration).text
    if worst > TOLERANCE or answer != golden.answer:
        raise SelfTestError(
            f"{bundle.name} computes wrongly here (off by {worst:.3f}, said {answer!r}, not {golden.answer!r})",
            "install another version of onnxruntime",
        )
    return answer
