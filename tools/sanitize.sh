#!/bin/sh
# Builds the kernels and their tests with AddressSanitizer and UndefinedBehaviorSanitizer, and runs them.
# usage: tools/sanitize.sh [BUILD_DIR]       exit status 3: something is not installed, with what to type
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/sanitize}
for tool in cmake c++; do
  if ! command -v "$tool" >/dev/null; then
    echo "sanitize: $tool is missing: type apt-get install g++ cmake make" >&2
    exit 3
  fi
done
if command -v ninja >/dev/null; then generator=Ninja; else generator="Unix Makefiles"; fi
cmake -G "$generator" -S "$root" -B "$build" -DEDGE_AGENT_PYTHON_MODULE=OFF -DEDGE_AGENT_NATIVE_TESTS=ON -DEDGE_AGENT_SANITIZE=ON \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
cmake --build "$build" -j 1 >/dev/null
UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1 exec "$build/kernel_tests"
