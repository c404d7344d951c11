"""The TFLite encoder: right numbers in float and int8, a clear refusal of everything that is not the bundle's file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import F32, Embeddings
from edge_agent.vlm import Bundle, find_bundle
from edge_agent.vlm.evidence import evidence
from edge_agent.vlm.litert import LiteRtVisionEncoder, TfliteGraph, find_interpreter, open_vision

# Made by tools.train.litert_export's functions from a convolution of 4 x 4 patches, see `expected`.
GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def installed() -> bool:
    try:
        find_interpreter()
    except ModelError:
        return False
    return True


needs_runtime = pytest.mark.skipif(not installed(), reason="neither ai-edge-litert nor tflite-runtime is installed")


def expected(pixels: F32) -> F32:
    """[1, 1, 3, 8, 8] to [1, 4, 4]: each of four patches times four filters of known numbers."""
    weight = ((np.arange(192) * 7 % 31 - 15) / 127).reshape(4, 3, 4, 4)
    patches = pixels[0, 0].reshape(3, 2, 4, 2, 4).transpose(1, 3, 0, 2, 4).reshape(4, 3, 4, 4)
    bias = np.array([0.0, 0.5, -0.5, 1.0])
    made: F32 = np.add(np.einsum("pcij,ocij->po", patches, weight), bias)[None].astype(np.float32)
    return made


@pytest.fixture
def pixels() -> F32:
    made: F32 = np.random.default_rng(3).uniform(-1, 1, (1, 1, 3, 8, 8)).astype(np.float32)
    return made


@needs_runtime
@pytest.mark.parametrize(("kind", "tolerance"), [("float", 0.005), ("int8", 0.03)])
def test_a_graph_computes_what_its_numbers_say(kind: str, tolerance: float, pixels: F32) -> None:
    graph = TfliteGraph(GOLDEN / f"tiny_{kind}.tflite")
    assert (graph.input_shape, graph.output_shape) == ((1, 1, 3, 8, 8), (1, 4, 4))
    made = graph.run(pixels)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected(pixels), atol=tolerance)


@needs_runtime
def test_a_result_stays_as_it_was_when_the_graph_runs_again(pixels: F32) -> None:
    graph = TfliteGraph(GOLDEN / "tiny_float.tflite")
    first = graph.run(pixels)
    kept = first.copy()
    graph.run(-pixels)
    np.testing.assert_array_equal(first, kept)


@needs_runtime
def test_values_beyond_the_calibrated_range_are_cut_and_do_not_wrap(pixels: F32) -> None:
    graph = TfliteGraph(GOLDEN / "tiny_int8.tflite")
    far, edge = graph.run(np.full_like(pixels, 100.0)), graph.run(np.full_like(pixels, 1.5))
    np.testing.assert_array_equal(far, edge)


@needs_runtime
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_by_name(share: float, tmp_path: Path) -> None:
    whole = (GOLDEN / "tiny_float.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"cut\.tflite"):
        TfliteGraph(path)


@needs_runtime
def test_a_file_that_is_missing_or_no_tflite_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite cannot be read"):
        TfliteGraph(tmp_path / "none.tflite")
    path = tmp_path / "text.tflite"
    path.write_text("this is no model at all")
    with pytest.raises(ModelError, match=r"text\.tflite is not a TFLite file"):
        TfliteGraph(path)


@needs_runtime
def test_a_picture_of_another_shape_and_no_threads_are_refused(pixels: F32) -> None:
    with pytest.raises(ModelError, match=r"takes \[1, 1, 3, 8, 8\], got \[1, 1, 3, 8, 4\]"):
        TfliteGraph(GOLDEN / "tiny_float.tflite").run(pixels[..., :4])
    with pytest.raises(ModelError, match="at least 1 thread"):
        TfliteGraph(GOLDEN / "tiny_float.tflite", threads=0)


def test_without_a_runtime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=r"pip install 'edge-agent\[litert\]'"):
        TfliteGraph(GOLDEN / "tiny_float.tflite")


class OldInterpreter:
    """tflite-runtime 2.14 under NumPy 2: it imports, and fails when an interpreter is made."""

    def __init__(self, **options: object) -> None:
        raise AttributeError("_ARRAY_API not found")


def test_a_runtime_that_cannot_start_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.vlm.litert.find_interpreter", lambda: OldInterpreter)
    with pytest.raises(ModelError, match=r"tiny_float\.tflite cannot be loaded \(AttributeError: _ARRAY_API"):
        TfliteGraph(GOLDEN / "tiny_float.tflite")


def test_a_decoder_reads_what_its_manifest_lists_and_nothing_else() -> None:
    shipped = Bundle.open(find_bundle("edge-vqa"))
    listing = replace(shipped, manifest=replace(shipped.manifest, also_reads=("other+litert-float",)))
    data = np.zeros((shipped.tokens_per_image, shipped.hidden_size), np.float32)
    (piece,) = evidence(listing, [Embeddings(data, "other+litert-float")])
    assert piece.data is not None
    with pytest.raises(ModelError, match="these are of other"):
        evidence(listing, [Embeddings(data, "other")])


def test_another_kind_and_a_bundle_without_the_file_are_refused() -> None:
    with pytest.raises(UsageError, match="choose float or int8"):
        LiteRtVisionEncoder(Bundle.open(find_bundle("edge-vqa")), kind="int4")
    with pytest.raises(ModelError, match=r"cloud-vqa has no litert/vision_encoder\.tflite"):
        LiteRtVisionEncoder(Bundle.open(find_bundle("cloud-vqa")))


@needs_runtime
@pytest.mark.parametrize(("encoder", "least"), [("litert", 0.999), ("litert-int8", 0.9)])
def test_the_shipped_files_encode_as_the_onnx_graph_and_both_decoders_read_them(encoder: str, least: float) -> None:
    edge, cloud = Bundle.open(find_bundle("edge-vqa")), Bundle.open(find_bundle("cloud-vqa"))
    rows, columns = np.mgrid[0:240, 0:320]
    picture = np.stack((rows % 256, columns % 256, (rows * columns // 300) % 256), axis=-1).astype(np.uint8)
    wanted, (made,) = open_vision(edge).encode(picture), open_vision(edge, encoder=encoder).look(picture)
    cosine = (made.data * wanted.data).mean(axis=1)  # rows have mean 0 and variance 1
    assert float(cosine.mean()) > least
    assert made.encoder_id != wanted.encoder_id
    for bundle in (edge, cloud):
        assert evidence(bundle, [made])
