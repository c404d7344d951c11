"""Sessions: threads are explicit, missing parts are named, providers are compared with those asked for."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import ModelError
from edge_agent.vlm import find_bundle
from edge_agent.vlm.bundle import EMBED
from edge_agent.vlm.session import memory_available_bytes, open_session, run


def test_a_missing_onnxruntime_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="pip install 'onnxruntime"):
        open_session(find_bundle("edge-vqa") / EMBED, 1)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(threads: int) -> None:
    with pytest.raises(ModelError, match="at least 1 thread"):
        open_session(find_bundle("edge-vqa") / EMBED, threads)


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx is missing"):
        open_session(tmp_path / "nothing.onnx", 1)


def test_a_file_that_is_no_graph_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("this is no graph")
    with pytest.raises(ModelError, match=r"text\.onnx cannot be loaded"):
        open_session(path, 1)


def test_a_provider_that_is_not_in_use_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    import onnxruntime

    class Stub:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: Stub())
        open_session(find_bundle("edge-vqa") / EMBED, 1, ("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert "asked for CUDAExecutionProvider, in use: CPUExecutionProvider" in caplog.text


def test_a_graph_with_an_operation_that_the_runtime_lacks_says_what_else_to_pull() -> None:
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Lacking

    def lacking(*_: object, **__: object) -> None:
        raise Lacking("Could not find an implementation for ConvInteger(10)")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", lacking)
        with pytest.raises(ModelError, match=r"lacks here \(Could not find .* --precision quantized"):
            open_session(find_bundle("edge-vqa") / EMBED, 1)


def test_a_fusion_at_which_the_runtime_fails_is_left_out() -> None:
    import onnxruntime

    real, left_out = onnxruntime.InferenceSession, []

    def failing(*arguments: object, disabled_optimizers: tuple[str, ...] = (), **more: object) -> object:
        left_out.append(list(disabled_optimizers))
        if not disabled_optimizers:
            raise RuntimeError("a name which does not exist:InsertedPrecisionFreeCast_/norm for node: SkipLayerNorm")
        return real(*arguments, disabled_optimizers=disabled_optimizers, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", failing)
        opened = open_session(find_bundle("edge-vqa") / EMBED, 1)
    assert left_out == [[], ["SimplifiedLayerNormFusion"]]
    assert opened.get_outputs()


def test_a_failing_run_is_a_model_error_about_the_stage() -> None:
    opened = open_session(find_bundle("edge-vqa") / EMBED, 1)
    with pytest.raises(ModelError, match="the token embedding failed"):
        run(opened, ["inputs_embeds"], {"input_ids": np.zeros((1, 2), dtype=np.float32)}, "the token embedding")


def test_free_memory_is_read_where_the_kernel_tells() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("no /proc/meminfo on this system")
    free = memory_available_bytes()
    assert free is not None
    assert free > 1 << 20
