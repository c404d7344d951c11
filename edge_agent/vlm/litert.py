"""The vision encoder as a TFLite file, run by LiteRT: for boards that have no ONNX Runtime, or a faster LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import F32, U8, Embeddings
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.image_processor import ImageProcessor, check_picture
from edge_agent.vlm.manifest import VERIFY, read_json
from edge_agent.vlm.vision import VisionEncoder

FILES = {"float": "litert/vision_encoder.tflite", "int8": "litert/vision_encoder_int8.tflite"}
INSTALL = "pip install 'edge-agent[litert]'"
_MAGIC = b"TFL3"
_LARGEST_BYTES = 256 << 20


class Interpreter(Protocol):
    """What we use of the TFLite interpreter, which both packages have alike."""

    def allocate_tensors(self) -> None: ...
    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def resize_tensor_input(self, input_index: int, tensor_size: tuple[int, ...]) -> None: ...
    def set_tensor(self, tensor_index: int, value: NDArray[Any]) -> None: ...
    def invoke(self) -> None: ...
    def get_tensor(self, tensor_index: int) -> NDArray[Any]: ...


def open_vision(bundle: Bundle, threads: int = 1, encoder: str = "onnx") -> VisionEncoder | LiteRtVisionEncoder:
    """The vision encoder by ONNX Runtime ("onnx") or by LiteRT ("litert", "litert-int8"). Raises ModelError."""
    if encoder == "onnx":
        return VisionEncoder(bundle, threads)
    return LiteRtVisionEncoder(bundle, threads, "int8" if encoder == "litert-int8" else "float")


def encoder_id_of(bundle: Bundle, kind: str) -> str:
    """What embeddings of the TFLite encoder `kind` ("float" or "int8") are called: close to the bundle's, not equal."""
    return f"{bundle.encoder_id}+litert-{kind}"


def find_interpreter() -> Callable[..., Interpreter]:
    """The interpreter class of ai-edge-litert, or else of tflite-runtime. Raises ModelError if neither is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter as found
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter as found
        except ImportError as error:
            raise ModelError("no LiteRT is installed: neither ai-edge-litert nor tflite-runtime", INSTALL) from error
    return cast("Callable[..., Interpreter]", found)


class TfliteGraph:
    """One TFLite file with one input and one output, of fixed shapes, on `threads` threads. `input_shape` instead of
    the file's own, where it leaves that open.

    A quantised input or output is converted by the scale and zero point that the file gives. Raises ModelError: no
    runtime, no such file, no TFLite file, one that this runtime cannot run.
    """

    def __init__(self, path: Path, threads: int = 1, input_shape: tuple[int, ...] | None = None) -> None:
        if threads < 1:
            raise ModelError(f"a model needs at least 1 thread, got {threads}", "set model.threads to 1 or more")
        make = find_interpreter()
        content = _read(path)
        try:
            self._interpreter = make(model_content=content, num_threads=threads)
            if input_shape is not None:
                self._interpreter.resize_tensor_input(self._interpreter.get_input_details()[0]["index"], input_shape)
            self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
        except Exception as error:
            raise ModelError(f"{path} cannot be loaded ({type(error).__name__}: {str(error)[:200]})", VERIFY) from error
        self._path = path

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self._input["shape"])

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self._output["shape"])

    def run(self, values: F32) -> F32:
        """float32 of `input_shape` to float32 of `output_shape`, a new array."""
        if values.shape != self.input_shape:
            raise ModelError(f"{self._path} takes {list(self.input_shape)}, got {list(values.shape)}", VERIFY)
        try:
            self._interpreter.set_tensor(self._input["index"], _coded(values, self._input))
            self._interpreter.invoke()
            return _decoded(self._interpreter.get_tensor(self._output["index"]), self._output)
        except Exception as error:
            raise ModelError(f"{self._path} failed ({type(error).__name__}: {str(error)[:200]})", VERIFY) from error


class LiteRtVisionEncoder:
    """Encodes as VisionEncoder does, by the bundle's TFLite file: `kind` "float", or "int8" with integer arithmetic.

    Its embeddings carry an encoder_id of their own: decoders read them if their manifest lists it in `also_reads`.
    Safe to call from one thread at a time. Raises UsageError for another `kind`, ModelError as TfliteGraph does.
    """

    def __init__(self, bundle: Bundle, threads: int = 1, kind: str = "float") -> None:
        if kind not in FILES:
            raise UsageError(f"there is no TFLite encoder {kind!r}", f"choose {' or '.join(FILES)}")
        if FILES[kind] not in {entry.name for entry in bundle.manifest.files}:
            raise ModelError(f"{bundle.name} has no {FILES[kind]}", "use its ONNX encoder, or another bundle")
        self._processor = ImageProcessor.from_config(read_json(bundle.path / "preprocessor_config.json"))
        self._detail = bundle.layout.detail
        self._encoder_id = encoder_id_of(bundle, kind)
        self._graph = TfliteGraph(bundle.path / FILES[kind], threads)
        shapes = (self._graph.input_shape, self._graph.output_shape)
        size = (1, 1, 3, self._processor.height, self._processor.width)
        if shapes != (size, (1, bundle.tokens_per_image, bundle.hidden_size)):
            raise ModelError(f"{bundle.path / FILES[kind]} is of another model: its shapes are {shapes}", VERIFY)

    def encode(self, bgr: U8) -> Embeddings:
        """The whole picture, [H, W, 3] uint8 BGR, as Embeddings [tokens, hidden] float32. Raises InputError."""
        return Embeddings(data=self._graph.run(self._processor(bgr))[0], encoder_id=self._encoder_id)

    def encode_tiles(self, bgr: U8) -> Iterator[Embeddings]:
        """The detail views of a picture, row by row, each made when it is asked for; none if the model has none."""
        return map(self.encode, self._detail.cut(check_picture(bgr)) if self._detail is not None else ())

    def encode_views(self, bgr: U8) -> tuple[Embeddings, ...]:
        """The whole picture, then its detail views."""
        return (self.encode(bgr), *self.encode_tiles(bgr))

    def look(self, bgr: U8) -> tuple[Embeddings, ...]:
        """What the bundle's own decoder reads of a picture: the whole of it."""
        return (self.encode(bgr),)


def _read(path: Path) -> bytes:
    """The whole file, after a look at its size and its mark. Raises ModelError."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ModelError(f"{path} is larger than {_LARGEST_BYTES >> 20} MiB", VERIFY)
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error})", VERIFY) from error
    if content[4:8] != _MAGIC:
        raise ModelError(f"{path} is not a TFLite file", VERIFY)
    return content


def _coded(values: F32, detail: dict[str, Any]) -> NDArray[Any]:
    """As the tensor wants it: float32 as it is, integers by scale and zero point."""
    if detail["dtype"] is np.float32:
        return values
    scale, zero = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    codes: NDArray[Any] = np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(detail["dtype"])
    return codes


def _decoded(values: NDArray[Any], detail: dict[str, Any]) -> F32:
    if detail["dtype"] is np.float32:
        return values.astype(np.float32)  # a copy: the interpreter's own array may change
    scale, zero = detail["quantization"]
    made: F32 = (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return made
