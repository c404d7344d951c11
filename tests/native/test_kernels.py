"""The native kernel tests: built and run here, and for aarch64 under qemu where a cross compiler is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.features import available_isas

ROOT = Path(__file__).parents[2]


def run(*command: str, status: int = 0) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == status, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not any(shutil.which(tool) for tool in ("ninja", "make")):
        missing.append("ninja")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def kernel_tests(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The native test program, built for this machine."""
    need("cmake", "c++")
    build = tmp_path_factory.mktemp("native")
    generator = "Ninja" if shutil.which("ninja") else "Unix Makefiles"
    options = ("-DEDGE_AGENT_PYTHON_MODULE=OFF", "-DEDGE_AGENT_NATIVE_TESTS=ON")
    run("cmake", "-G", generator, "-S", str(ROOT), "-B", str(build), *options)
    run("cmake", "--build", str(build), "-j", "1")
    return str(build / "kernel_tests")


def test_every_isa_of_this_machine_passes_the_native_tests(kernel_tests):
    output = run(kernel_tests, "scalar")
    assert ", 0 failed" in output
    for isa in available_isas()[1:]:
        assert f"{isa}: " in output


def test_the_native_tests_fail_where_a_named_isa_is_not_available(kernel_tests):
    assert "available are scalar" in run(kernel_tests, "scalar", "mmx", status=2)


def test_neon_passes_the_native_tests_under_qemu(tmp_path):
    need("cmake", "aarch64-linux-gnu-g++", "qemu-aarch64")
    output = run(str(ROOT / "tools" / "test_neon.sh"), str(tmp_path))
    assert "neon: " in output
    assert ", 0 failed" in output
