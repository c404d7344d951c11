"""The native kernel tests: built and run here, and for aarch64 under qemu where a cross compiler is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.features import available_isas

ROOT = Path(__file__).parents[2]


def run(*command: str, status: int = 0) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=880, check=False)
    assert result.returncode == status, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not any(shutil.which(tool) for tool in ("ninja", "make")):
        missing.append("ninja")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the native test programs, built for this machine."""
    need("cmake", "c++")
    build = tmp_path_factory.mktemp("native")
    generator = "Ninja" if shutil.which("ninja") else "Unix Makefiles"
    options = ("-DEDGE_AGENT_PYTHON_MODULE=OFF", "-DEDGE_AGENT_NATIVE_TESTS=ON")
    run("cmake", "-G", generator, "-S", str(ROOT), "-B", str(build), *options)
    run("cmake", "--build", str(build), "-j", os.environ.get("EDGE_AGENT_JOBS", "1"))
    return build


def test_every_isa_of_this_machine_passes_the_native_tests(native):
    output = run(str(native / "kernel_tests"), "scalar")
    assert ", 0 failed" in output
    for isa in available_isas()[1:]:
        assert f"{isa}: " in output


def test_the_native_tests_fail_where_a_named_isa_is_not_available(native):
    assert "available are scalar" in run(str(native / "kernel_tests"), "scalar", "mmx", status=2)


def test_random_cases_agree_with_scalar(native):
    output = run(str(native / "fuzz"), "--runs", "3000", "--seed", "7")
    assert "3000 cases from seed 7 agree with scalar" in output
    for isa in available_isas()[1:]:
        assert isa in output


def test_the_fuzzer_finds_each_deliberate_fault_and_replays_it(native):
    fuzz = str(native / "fuzz")
    faults = run(fuzz, "--fault", "list").split()
    assert {"edge_threshold", "overwrite", "flux"} <= set(faults)
    for fault in faults:
        said = run(fuzz, "--fault", fault, "--runs", "2000", status=1).strip()
        assert said.startswith(f"fuzz: {fault} differs from scalar: ")
        assert "\n" not in said
        words = said.split("replay with: fuzz ")[1].split()
        assert run(fuzz, *words, status=1).strip() == said


@pytest.mark.parametrize("words", [("--runs", "x"), ("--runs",), ("--fault", "none"), ("mmx",)])
def test_the_fuzzer_refuses_what_it_does_not_know(native, words):
    assert run(str(native / "fuzz"), *words, status=2).startswith("fuzz: ")


@pytest.mark.timeout(900)  # a cross compiler of one core
def test_neon_passes_the_native_tests_under_qemu(tmp_path):
    need("cmake", "aarch64-linux-gnu-g++", "qemu-aarch64")
    output = run(str(ROOT / "tools" / "test_neon.sh"), str(tmp_path))
    assert "neon: " in output
    assert ", 0 failed" in output
    assert "agree with scalar: scalar, neon" in output
