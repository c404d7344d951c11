#!/bin/sh
# Builds the wheel for 64-bit ARM boards on this machine, for the Python version of PYTHON, and checks what came out: a
# module for aarch64 by its name and its ELF header, and the oldest glibc and libstdc++ that it runs with.
# usage: tools/aarch64_wheel.sh PYTHON [FOLDER]     PYTHON: has scikit-build-core, pybind11, cmake, ninja, wheel; FOLDER: dist
# exit status 3: something is not installed, with what to type
set -eu
[ $# -ge 1 ] || { echo "usage: tools/aarch64_wheel.sh PYTHON [FOLDER]" >&2; exit 2; }
python=$1
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${2:-$root/dist}
for tool in aarch64-linux-gnu-g++ aarch64-linux-gnu-objdump aarch64-linux-gnu-readelf; do
  command -v "$tool" >/dev/null || {
    echo "aarch64_wheel: $tool is missing: type apt-get install g++-aarch64-linux-gnu libc6-dev-arm64-cross" >&2
    exit 3
  }
done
"$python" -c 'import scikit_build_core, pybind11, wheel' 2>/dev/null || {
  echo "aarch64_wheel: type $python -m pip install 'scikit-build-core>=0.10' 'pybind11>=2.13' cmake ninja wheel" >&2
  exit 3
}
suffix=$("$python" -c 'import sys; print(".cpython-%d%d-aarch64-linux-gnu.so" % sys.version_info[:2])')
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
# The headers of Python are this machine's: on 64-bit Linux they differ in nothing that an extension reads.
PATH=$(dirname "$(command -v "$python")"):$PATH CXX=aarch64-linux-gnu-g++ _PYTHON_HOST_PLATFORM=linux-aarch64 \
  SETUPTOOLS_EXT_SUFFIX=$suffix CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
  -DPYTHON_MODULE_EXTENSION=$suffix" \
  "$python" -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w "$made" "$root"
wheel=$(ls "$made"/*-linux_aarch64.whl)
"$python" -m zipfile -e "$wheel" "$made/tree"
module=$made/tree/edge_agent/_core$suffix
[ -f "$module" ] && [ "$(find "$made/tree" -name '*.so' | wc -l)" = 1 ] || {
  echo "aarch64_wheel: the wheel should hold _core$suffix and no other module:" >&2
  find "$made/tree" -name '*.so' >&2
  exit 1
}
aarch64-linux-gnu-readelf -h "$module" | grep -q 'Machine:.*AArch64' || { echo "aarch64_wheel: $module is for another machine" >&2; exit 1; }
newest() { aarch64-linux-gnu-objdump -T "$module" | grep -o "$1_[0-9.]*" | sed "s/$1_//" | sort -Vu | tail -1; }
glibc=$(newest GLIBC)
"$python" -m wheel tags --remove --platform-tag "manylinux_$(echo "$glibc" | tr . _)_aarch64" "$wheel" >/dev/null
mkdir -p "$folder"
cp "$made"/*.whl "$folder"
echo "$folder/$(basename "$made"/*.whl): glibc $glibc or newer, libstdc++ with GLIBCXX_$(newest GLIBCXX) and CXXABI_$(newest CXXABI)"
