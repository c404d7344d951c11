"""The one place that opens ONNX Runtime sessions: threads, memory arena and providers are decided here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError
from edge_agent.vlm.manifest import VERIFY, verify_hint
from edge_agent.vlm.providers import CPU, options_of

log = logging.getLogger(__name__)

INSTALL = "pip install 'onnxruntime>=1.20' (on a Jetson: the onnxruntime-gpu wheel of its JetPack)"
UPGRADE = "pip install --upgrade onnxruntime"
ON_GPU = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}
_DTYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MEMINFO = Path("/proc/meminfo")


class Node(Protocol):
    """Name, element type ("tensor(float)") and shape of one input or output of a session."""

    name: str
    type: str
    shape: list[Any]


class DeviceValue(Protocol):
    """What we use of onnxruntime.OrtValue: a tensor that lies on another device."""

    def numpy(self) -> NDArray[Any]: ...


Value = NDArray[Any] | DeviceValue
"""A tensor that a later run may read where it is: an array on the CPU, else a value on the device."""


class Binding(Protocol):
    """What we use of onnxruntime.IOBinding."""

    def bind_cpu_input(self, name: str, arr_on_cpu: NDArray[Any]) -> None: ...
    def bind_ortvalue_input(self, name: str, ortvalue: DeviceValue) -> None: ...
    def bind_output(self, name: str, device_type: str) -> None: ...
    def get_outputs(self) -> list[DeviceValue]: ...


class Session(Protocol):
    """What we use of onnxruntime.InferenceSession."""

    def io_binding(self) -> Binding: ...
    def run_with_iobinding(self, iobinding: Binding) -> None: ...
    def run(self, names: list[str] | None, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]: ...
    def get_inputs(self) -> list[Node]: ...
    def get_outputs(self) -> list[Node]: ...
    def get_providers(self) -> list[str]: ...


def memory_available_bytes() -> int | None:
    """What the kernel says may still be used, or None where it does not say."""
    try:
        for line in _MEMINFO.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    return None


def check_memory(name: str, size_bytes: int, overhead: float) -> None:
    """Raises ModelError if files of `size_bytes`, each `overhead` times as large once loaded, would not fit."""
    free = memory_available_bytes()
    needed = int(size_bytes * overhead) + (32 << 20)
    if free is not None and needed > free:
        raise ModelError(
            f"{name} needs about {needed >> 20} MiB of memory and {free >> 20} MiB are free",
            "stop other programs, or choose a smaller model",
        )


def open_session(path: Path, threads: int, providers: tuple[str, ...] = (CPU,)) -> Session:
    """Opens one graph on `threads` threads. Raises ModelError if onnxruntime or the file is missing or unfit.

    No memory arena (it only ever grows with new shapes), no spinning (a waiting thread must not burn a small board's
    core), int8 weights unpacked once at load. A provider that was asked for but is not in use is logged as a warning.
    """
    if threads < 1:
        raise ModelError(f"a model needs at least 1 thread, got {threads}", "set model.threads to 1 or more")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"onnxruntime cannot be imported ({error})", INSTALL) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if not path.is_file():
        raise ModelError(f"{path} is missing", _hint(path))
    wanted = [(name, options_of(name, threads)) for name in providers]
    try:
        session = _opened(path, options, wanted)
    except Exception as error:
        raise _unfit(path, error) from error
    missing = [name for name in providers if name not in session.get_providers()]
    if missing:
        log.warning("%s: asked for %s, in use: %s", path.name, ", ".join(missing), ", ".join(session.get_providers()))
    return session


def _opened(path: Path, options: Any, providers: list[tuple[str, dict[str, Any]]]) -> Session:
    """A session; without one fusion where ONNX Runtime trips over its own casts, as 1.23 does with fp16 on a CPU."""
    import onnxruntime

    try:
        session: Session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        if "InsertedPrecisionFreeCast" not in str(error):
            raise
        apart = ["SimplifiedLayerNormFusion"]
        session = onnxruntime.InferenceSession(str(path), options, providers=providers, disabled_optimizers=apart)
        log.info("%s: opened with its norms unfused, at which this ONNX Runtime fails", path.name)
    return session


def _hint(path: Path) -> str:
    """What to type about a graph: it lies in the folder `onnx` of a bundle, or is one of another package's models."""
    return verify_hint(path.parent.parent) if path.parent.name == "onnx" else VERIFY


def _unfit(path: Path, error: Exception) -> ModelError:
    """What to say of a graph that this ONNX Runtime does not open."""
    import onnxruntime

    words, version = str(error)[:200], onnxruntime.__version__
    if "opset" in str(error).lower() or "IR version" in str(error):
        return ModelError(f"{path} was made for a newer ONNX Runtime than {version} ({words})", UPGRADE)
    if type(error).__name__ == "NotImplemented":
        fix = f"{UPGRADE}, or pull the model in another precision: edge-agent models pull hf:... --precision quantized"
        return ModelError(f"{path} has an operation that ONNX Runtime {version} lacks here ({words})", fix)
    return ModelError(f"{path} cannot be loaded ({type(error).__name__}: {words})", _hint(path))


def run(session: Session, names: list[str] | None, feeds: dict[str, NDArray[Any]], what: str) -> list[NDArray[Any]]:
    """Runs the graph; an error of the runtime becomes a ModelError about `what`."""
    try:
        return [np.asarray(out) for out in session.run(names, feeds)]
    except Exception as error:
        raise ModelError(f"{what} failed ({type(error).__name__}: {str(error)[:200]})", VERIFY) from error


def dtype_of(node: Node) -> type[np.generic]:
    """The NumPy type of a node's elements. Raises ModelError for one that no decoder has."""
    if node.type not in _DTYPES:
        raise ModelError(f"{node.name} is a {node.type}, which cannot be fed", VERIFY)
    return _DTYPES[node.type]


def check_nodes(session: Session, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, Node]:
    """All nodes of a graph by name. Raises ModelError where it is another graph than its name says."""
    nodes = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
    missing = [name for name in (*inputs, *outputs) if name not in nodes]
    if missing:
        raise ModelError(f"{path} has no {', '.join(missing)}: it is not what its name says", _hint(path))
    return nodes


def array_of(value: Value) -> NDArray[Any]:
    """The numbers of a tensor; copied only where it lies on another device."""
    return value if isinstance(value, np.ndarray) else value.numpy()


class ChainedRuns:
    """Runs of one graph whose later `outputs` are inputs of the next run, handed on without a copy.

    On the CPU ONNX Runtime reads arrays where they are, and the arrays that it gives are views of its own tensors. On a
    GPU the tensors are bound and stay there. An error of the runtime becomes a ModelError about `what`.
    """

    def __init__(self, session: Session, outputs: list[str], past: list[str], what: str) -> None:
        self._session, self._outputs, self._past, self._what = session, outputs, past, what
        self._device = ON_GPU.get(session.get_providers()[0])  # None: the CPU

    def run(self, feeds: dict[str, NDArray[Any]], past: tuple[Value, ...]) -> tuple[NDArray[Any], tuple[Value, ...]]:
        """The first of the outputs as an array, the others to be given as `past` to a later run. `feeds` are the
        inputs besides; those of `past` are added to it.
        """
        try:
            if self._device is not None:
                named = dict(zip(self._past, past, strict=True))
                return _bound_run(self._session, self._outputs, feeds, named, self._device)
            feeds.update(zip(self._past, past, strict=True))  # type: ignore[arg-type]
            made = self._session.run(self._outputs, feeds)
            return made[0], tuple(made[1:])
        except Exception as error:
            words = f"{self._what} failed ({type(error).__name__}: {str(error)[:200]})"
            raise ModelError(words, VERIFY) from error


def _bound_run(
    session: Session, outputs: list[str], feeds: dict[str, NDArray[Any]], past: dict[str, Value], device: str
) -> tuple[NDArray[Any], tuple[Value, ...]]:
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    for name, value in past.items():
        if isinstance(value, np.ndarray):
            binding.bind_cpu_input(name, value)
        else:
            binding.bind_ortvalue_input(name, value)
    binding.bind_output(outputs[0], "cpu")
    for name in outputs[1:]:
        binding.bind_output(name, device)
    session.run_with_iobinding(binding)
    first, *others = binding.get_outputs()
    return first.numpy(), tuple(others)
