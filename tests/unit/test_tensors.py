"""Quantising rows and their change: every instruction set gives the bytes of the NumPy reference, and refuses alike."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from edge_agent import _core
from edge_agent.errors import UsageError
from edge_agent.transport import tensors
from edge_agent.transport.codecs import Int8Zstd
from edge_agent.types import Embeddings

ISAS = _core.available_isas()
SHAPES = [(1, 1), (3, 7), (2, 63), (5, 64), (4, 192), (2, 577), (1, 1500)]
every_isa = pytest.mark.parametrize("isa", ISAS)


def contents(rows: int, width: int) -> dict[str, np.ndarray]:
    """Tensors that a rounding may go wrong on."""
    random = np.random.default_rng(rows * 10000 + width)
    normal = random.normal(size=(rows, width)).astype(np.float32)
    scale = np.float32(0.3)
    ties = (random.integers(-127, 127, size=(rows, width)).astype(np.float32) + np.float32(0.5)) * scale
    ties[:, 0] = np.float32(127) * scale
    mixed = np.ldexp(normal, random.integers(-140, 120, size=(rows, width))).astype(np.float32)
    return {
        "normal": normal,
        "ties": ties,
        "next to ties": np.nextafter(ties, np.float32(np.inf), dtype=np.float32),
        "zeros": np.zeros((rows, width), np.float32),
        "huge": normal / np.abs(normal).max() * np.finfo(np.float32).max,
        "subnormal": normal * np.float32(1e-40),
        "mixed": mixed,
    }


def same(got: Any, wanted: Any) -> bool:
    return got.dtype == wanted.dtype and got.shape == wanted.shape and got.tobytes() == wanted.tobytes()


@every_isa
@pytest.mark.parametrize("shape", SHAPES)
def test_every_isa_quantises_to_the_bytes_of_the_reference(isa, shape):
    for name, x in contents(*shape).items():
        for bits in (8, 4):
            quantise = f"quantise_int{bits}"
            wanted, wanted_scales = getattr(tensors, quantise)(x)
            got, scales = getattr(_core, quantise)(x, isa=isa)
            assert same(got, wanted), (name, bits)
            assert same(scales, wanted_scales), (name, bits)
        halves, scales = tensors.quantise_int4(x)
        width = shape[1]
        assert same(
            _core.dequantise_int4(halves, scales, width, isa=isa), tensors.dequantise_int4(halves, scales, width)
        )
        values, scales = tensors.quantise_int8(x)
        assert same(_core.dequantise_int8(values, scales, isa=isa), tensors.dequantise_int8(values, scales))


@every_isa
@pytest.mark.parametrize("shape", SHAPES)
def test_every_isa_tells_the_change_as_the_reference_does(isa, shape):
    random = np.random.default_rng(7)
    for name, x in contents(*shape).items():
        values, scales = tensors.quantise_int8(x)
        for share in (0.0, 0.01, 0.4, 3.0):
            with np.errstate(over="ignore"):
                now = x * np.float32(1.0 - share / 8) + (x * random.normal(size=x.shape) * share / 8).astype(np.float32)
            now = np.nan_to_num(now)
            wanted, wanted_peaks = tensors.delta_int8(now, values, scales)
            got, peaks = _core.delta_int8(now, values, scales, isa=isa)
            assert same(got, wanted), (name, share)
            assert same(peaks, wanted_peaks), (name, share)
            assert same(_core.row_changes(now, x, isa=isa), tensors.row_changes(now, x)), (name, share)
            assert same(_core.add_delta_int8(values, got, isa=isa), tensors.add_delta_int8(values, wanted))


@every_isa
def test_deltas_follow_a_moving_tensor_without_drift_and_find_what_stood_still(isa):
    random = np.random.default_rng(3)
    x = random.normal(size=(8, 96)).astype(np.float32)
    x[:, 0] = 4.0  # sets the scale
    values, scales = _core.quantise_int8(x, isa=isa)
    for _ in range(50):
        x[:4, 1:] += random.normal(scale=0.02, size=(4, 95)).astype(np.float32)
        delta, peaks = _core.delta_int8(x, values, scales, isa=isa)
        assert peaks.max() < 255
        assert (peaks[4:] == 0).all()
        assert (peaks[:4] > 0).all()
        values = _core.add_delta_int8(values, delta, isa=isa)
        assert np.all(np.abs(values * scales[:, None] - x) <= scales[:, None] * 0.5001)
    x[2, 5] = 100.0
    delta, peaks = _core.delta_int8(x, values, scales, isa=isa)
    assert peaks[2] == 255
    assert not delta[2].any()


@every_isa
def test_rows_that_lie_apart_and_outputs_of_the_caller_are_used_as_they_are(isa):
    wide = np.random.default_rng(1).normal(size=(6, 200)).astype(np.float32)
    x = wide[::2, 3:103]
    room = np.full((3, 120), 99, np.int8)
    scales = np.full(3, 9, np.float32)
    out = room[:, 5:105]
    made, steps = _core.quantise_int8(x, out, scales, isa=isa)
    assert made is out
    assert steps is scales
    wanted, wanted_scales = tensors.quantise_int8(x)
    assert same(np.ascontiguousarray(out), wanted)
    assert same(scales, wanted_scales)
    assert (room[:, :5] == 99).all()
    assert (room[:, 105:] == 99).all()


X = np.ones((3, 8), np.float32)
VALUES = np.ones((3, 8), np.int8)
SCALES = np.ones(3, np.float32)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: _core.quantise_int8(X.astype(np.float64)), TypeError, "x must be an array of float32"),
        (lambda: _core.quantise_int8(X.astype(">f4")), TypeError, "x must be an array of float32"),
        (lambda: _core.quantise_int8([[1.0]]), TypeError, "x must be a NumPy array"),
        (lambda: _core.quantise_int8(X[0]), ValueError, r"x must be \[rows, width\]"),
        (lambda: _core.quantise_int8(X[:0]), ValueError, r"x must be \[rows, width\]"),
        (lambda: _core.quantise_int8(X[:, ::2]), ValueError, "ascontiguousarray"),
        (lambda: _core.quantise_int8(X[::-1]), ValueError, "ascontiguousarray"),
        (lambda: _core.quantise_int8(np.broadcast_to(X[0], (3, 8))), ValueError, "ascontiguousarray"),
        (lambda: _core.quantise_int8(np.frombuffer(bytes(37), "<f4", 9, 1).reshape(3, 3)), TypeError, "of float32"),
        (lambda: _core.quantise_int8(X, VALUES[:2]), ValueError, r"out must be \[3, 8\]"),
        (lambda: _core.quantise_int8(X, X), ValueError, "out shares memory"),
        (lambda: _core.quantise_int8(X, X.view(np.int8)[:, :8]), ValueError, "out shares memory"),
        (lambda: _core.quantise_int8(X, None, X[:, 0]), ValueError, "scales shares memory"),
        (lambda: _core.quantise_int8(X, read_only(VALUES)), ValueError, "out is read-only"),
        (lambda: _core.quantise_int8(X, VALUES.copy(), read_only(SCALES)), ValueError, "scales is read-only"),
        (lambda: _core.quantise_int8(X, None, np.ones(4, np.float32)), ValueError, "scales must be packed"),
        (lambda: _core.quantise_int8(X, None, np.ones(6, np.float32)[::2]), ValueError, "scales must be packed"),
        (lambda: _core.quantise_int8(X, isa="mmx"), ValueError, "mmx"),
        (lambda: _core.dequantise_int8(VALUES, -SCALES), ValueError, r"scales\[0\] must be finite"),
        (lambda: _core.dequantise_int8(VALUES, SCALES * np.nan), ValueError, r"scales\[0\] must be finite"),
        (lambda: _core.dequantise_int8(VALUES, SCALES[:2]), ValueError, "scales must be packed"),
        (lambda: _core.dequantise_int4(VALUES.view(np.uint8), SCALES, 14), ValueError, "width must be 15 or 16"),
        (lambda: _core.dequantise_int4(VALUES.view(np.uint8), SCALES, -1), ValueError, "width must be 15 or 16"),
        (lambda: _core.row_changes(X, X[:2]), ValueError, r"previous must be \[3, 8\]"),
        (lambda: _core.row_changes(X, X * np.nan), ValueError, r"previous\[0, 0\] is NaN"),
        (lambda: _core.delta_int8(X, VALUES[:, :4], SCALES), ValueError, r"values must be \[3, 8\]"),
        (lambda: _core.add_delta_int8(VALUES * 127, VALUES), ValueError, "row 0 leaves"),
    ],
)
def test_wrong_use_is_refused_by_name(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("isa", [*ISAS, "reference"])
def test_a_value_that_is_not_finite_is_named_and_nothing_is_written(isa, bad):
    x = np.ones((5, 300), np.float32)
    x[3, 299] = bad
    out = np.full((5, 300), 7, np.int8)
    scales = np.full(5, 7, np.float32)
    options = {} if isa == "reference" else {"isa": isa}
    module: Any = tensors if isa == "reference" else _core
    with pytest.raises(ValueError, match=r"x\[3, 299\] is (NaN|infinite); nothing was written"):
        module.quantise_int8(x, out, scales, **options)
    assert (out == 7).all()
    assert (scales == 7).all()


def test_codecs_write_the_same_bytes_whatever_computes(monkeypatch):
    codec = Int8Zstd()
    for name, data in contents(49, 192).items():
        bodies, decoded = set(), set()
        for isa in ["", "reference", *ISAS]:
            monkeypatch.setenv("EDGE_AGENT_ISA", isa)
            bodies.add(bytes(codec.quantise(data)))
            if name != "huge":  # the largest numbers overflow when they come back
                decoded.add(codec.decode(codec.encode(Embeddings(data, "e"))).data.tobytes())
        assert len(bodies) == 1, name
        assert len(decoded) <= 1, name


def test_codecs_work_where_the_kernels_are_not_built():
    code = (
        "import sys; sys.modules['edge_agent._core'] = None\n"
        "import numpy as np\n"
        "from edge_agent.transport import tensors, codecs\n"
        "assert tensors.choose() is tensors\n"
        "print(codecs.Int8Zstd().quantise(np.arange(12, dtype=np.float32).reshape(3, 4)).hex())"
    )
    environment = {**os.environ, "EDGE_AGENT_ISA": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == Int8Zstd().quantise(np.arange(12, dtype=np.float32).reshape(3, 4)).hex()


def test_an_instruction_set_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setenv("EDGE_AGENT_ISA", "mmx")
    with pytest.raises(UsageError, match="EDGE_AGENT_ISA: no kernels for the instruction set 'mmx'"):
        Int8Zstd().quantise(X)


def test_tensors_are_quantised_in_several_threads_at_once():
    x = np.random.default_rng(0).normal(size=(64, 576)).astype(np.float32)
    wanted = _core.quantise_int8(x)[0].tobytes()
    wrong: list[bool] = []

    def work() -> None:
        wrong.extend(_core.quantise_int8(x)[0].tobytes() != wanted for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 200
    assert not any(wrong)
