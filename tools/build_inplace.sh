#!/bin/sh
# Builds edge_agent/_core for one Python next to the sources, so that the tree runs without being installed.
# usage: tools/build_inplace.sh [PYTHON]     (needs pybind11, cmake and ninja in that Python: pip install pybind11 cmake ninja)
set -eu
python=${1:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/native.sh"
path_of() { "$python" -c "import sysconfig; print(sysconfig.get_path('scripts'))"; }
PATH="$(path_of):$PATH"
if ! pybind11_dir=$("$python" -m pybind11 --cmakedir 2>/dev/null); then
  echo "build_inplace: $python has no pybind11: type $python -m pip install pybind11 cmake ninja" >&2
  exit 2
fi
for tool in cmake ninja c++; do
  if ! command -v "$tool" >/dev/null; then
    echo "build_inplace: $tool is missing: type $python -m pip install cmake ninja, and apt-get install g++ for a compiler" >&2
    exit 2
  fi
done
build="$root/build/inplace-$("$python" -c 'import sys; print(sys.implementation.cache_tag)')"
quietly "$build.log" cmake -S "$root" -B "$build" -G Ninja -Dpybind11_DIR="$pybind11_dir" \
  -DPython_EXECUTABLE="$(command -v "$python")"
quietly "$build.log" cmake --build "$build" -j 1
cp "$build"/_core*.so "$root/edge_agent/"
echo "built $(ls "$root"/edge_agent/_core*.so)"
