#!/bin/sh
# Builds the kernels with AddressSanitizer and UndefinedBehaviorSanitizer and runs their native tests and the differential fuzzer; with a PYTHON (that
# has pytest, hypothesis, numpy and pybind11), builds the Python module so too and runs the tests of features, codecs and intake.
# usage: tools/sanitize.sh [PYTHON]       exit status 3: something is not installed, with what to type
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize
. "$root/tools/native.sh"
need "g++ cmake make" cmake c++
export UBSAN_OPTIONS=print_stacktrace=1

compile_sanitized "$build" all -DEDGE_AGENT_PYTHON_MODULE=OFF -DEDGE_AGENT_NATIVE_TESTS=ON
ASAN_OPTIONS=detect_stack_use_after_return=1 "$build/kernel_tests"
"$root/tools/fuzz.sh"
[ $# -ge 1 ] || exit 0

python=$1
compile_sanitized "$build-module" all -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DPython_EXECUTABLE="$(command -v "$python")"
tree=$build-module/tree  # a copy: a module built elsewhere must not be found first
rm -rf "$tree"
mkdir -p "$tree/tests"
cp -r "$root/edge_agent" "$root/pyproject.toml" "$tree"
cp -r "$root/tests/conftest.py" "$root/tests/unit" "$root/tests/support" "$tree/tests"
rm -f "$tree"/edge_agent/_core*.so
cp "$build-module"/_core*.so "$tree/edge_agent"
cd "$tree"
libraries="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libstdc++.so.6)"
LD_PRELOAD=$libraries ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$tree "$python" -m pytest -q -p no:cacheprovider -k "not shipped_pair" \
  tests/unit/test_features_kernels.py tests/unit/test_features_refusals.py tests/unit/test_features_values.py \
  tests/unit/test_intake.py tests/unit/test_projected.py tests/unit/test_changes.py tests/unit/test_learned_file.py
