"""Quantised embeddings by faiss's scalar quantisers, one thread, trained beforehand."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.tensors import TensorScene

RANGES = "other: a range for each channel, trained beforehand"
HALVES = "other: 16-bit floats, twice the bytes"


def contenders(scene: TensorScene) -> list[Contender]:
    """SQ8 and fp16 beside int8, SQ4 beside int4, both ways."""
    faiss.omp_set_num_threads(1)
    kinds = {
        "int8": (
            ("faiss_sq8", faiss.ScalarQuantizer.QT_8bit, RANGES),
            ("faiss_fp16", faiss.ScalarQuantizer.QT_fp16, HALVES),
        ),
        "int4": (("faiss_sq4", faiss.ScalarQuantizer.QT_4bit, RANGES),),
    }
    direction, _, kind = scene.case.rpartition("_")
    if direction not in ("quantise", "dequantise"):
        return []
    return [_contender(scene, direction, *one) for one in kinds[kind]]


def _contender(scene: TensorScene, direction: str, name: str, kind: Any, work: str) -> Contender:
    quantiser = faiss.ScalarQuantizer(scene.shape[1], kind)
    quantiser.train(np.concatenate(scene.tensors))
    if direction == "quantise":
        return Contender(
            name,
            "faiss-cpu",
            lambda i: quantiser.compute_codes(scene.at(i)),
            lambda codes: {"x": quantiser.decode(codes)},
            work,
        )
    codes = [quantiser.compute_codes(x) for x in scene.tensors]
    return Contender(name, "faiss-cpu", lambda i: quantiser.decode(codes[i % len(codes)]), lambda x: {"x": x}, work)
