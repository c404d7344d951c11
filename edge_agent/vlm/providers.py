"""Which execution providers run the graphs: chosen here and nowhere else, by what this ONNX Runtime was built with."""

from __future__ import annotations

from typing import Any

from edge_agent.errors import ModelError

CPU = "CPUExecutionProvider"
NAMES = {
    "cpu": (CPU,),
    "xnnpack": ("XnnpackExecutionProvider", CPU),
    "cuda": ("CUDAExecutionProvider", CPU),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
}
AUTO = ("cuda", "cpu")  # TensorRT builds engines for minutes, XNNPACK gains on few graphs: only when asked for


def providers(name: str) -> tuple[str, ...]:
    """The providers called `name` (a key of NAMES, or "auto": CUDA where it was built in, else the CPU).

    Raises ModelError naming what there is.
    """
    there = _available()
    if name == "auto":
        return next(NAMES[one] for one in AUTO if NAMES[one][0] in there or one == "cpu")
    if name not in NAMES:
        raise ModelError(f"no execution provider is called {name!r}", f"known: auto, {', '.join(NAMES)}")
    if NAMES[name][0] not in there and name != "cpu":
        usable = ", ".join(one for one, wanted in NAMES.items() if wanted[0] in there)
        raise ModelError(f"this ONNX Runtime was built without {NAMES[name][0]}", f"set model.provider to {usable}")
    return NAMES[name]


def options_of(name: str, threads: int) -> dict[str, Any]:
    """The options of one provider. XNNPACK has threads of its own."""
    return {"intra_op_num_threads": str(threads)} if name == NAMES["xnnpack"][0] else {}


def signed_convolutions() -> bool:
    """Whether ONNX Runtime computes convolutions of signed bytes on a CPU: from 1.24 on, so not with Python 3.10."""
    try:
        import onnxruntime
    except ImportError:
        return True  # opening a graph says how to install it
    major, minor = onnxruntime.__version__.split(".")[:2]
    return (int(major), int(minor)) >= (1, 24)


def _available() -> list[str]:
    try:
        import onnxruntime
    except ImportError:
        return [CPU]  # opening a graph says how to install it
    return list(onnxruntime.get_available_providers())
