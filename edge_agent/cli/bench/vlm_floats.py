"""A shipped bundle in float32: its graphs written down with their int8 weights unpacked, to be measured beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_agent.vlm import Bundle


def unpacked(bundle: Bundle, folder: Path) -> Bundle:
    """The same bundle with graphs in `folder` whose weights are float32; those that lie there already are taken.

    ONNX Runtime itself writes them, its constants folded: what the runtime holds of an int8 graph once it is loaded.
    """
    made = {name: folder / path.name for name, path in bundle.graphs.items()}
    for name, path in made.items():
        if not path.is_file():
            _write(bundle.graph(name), path)
    return replace(bundle, graphs=made)


def _write(graph: Path, to: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(to)
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
