#!/bin/sh
# Cross-compiles the kernels for aarch64 and runs their tests and the differential fuzzer under qemu: right or wrong, never how fast.
# usage: tools/test_neon.sh [BUILD_DIR]      exit status 3: something is not installed, with what to type
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/neon}
compiler=${AARCH64_CXX:-aarch64-linux-gnu-g++}
sysroot=${AARCH64_SYSROOT:-/usr/aarch64-linux-gnu}
. "$root/tools/native.sh"
need "--no-install-recommends g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user cmake make" "$compiler" qemu-aarch64 cmake
compile "$build" all -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" \
  -DEDGE_AGENT_PYTHON_MODULE=OFF -DEDGE_AGENT_NATIVE_TESTS=ON
qemu-aarch64 -L "$sysroot" "$build/kernel_tests" neon neon_dotprod
qemu-aarch64 -cpu cortex-a72 -L "$sysroot" "$build/kernel_tests" neon  # a CPU without the dot product instructions
if qemu-aarch64 -cpu cortex-a72 -L "$sysroot" "$build/kernel_tests" neon_dotprod 2>/dev/null; then
  echo "test_neon: neon_dotprod was taken to be available on a CPU without it" >&2
  exit 1
fi
exec qemu-aarch64 -L "$sysroot" "$build/fuzz" --runs 2000
