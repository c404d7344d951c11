#!/bin/sh
# Builds the differential fuzzer (csrc/tests/fuzz.cpp) with AddressSanitizer and UndefinedBehaviorSanitizer and runs it with
# the given arguments; with none, first sees that it finds each deliberate fault, then runs what CI runs.
# usage: tools/fuzz.sh [--runs N | --seconds N] [--seed S] [ISA]...      exit status 3: something is not installed
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize
for tool in cmake c++; do
  if ! command -v "$tool" >/dev/null; then
    echo "fuzz: $tool is missing: type apt-get install g++ cmake make" >&2
    exit 3
  fi
done
if command -v ninja >/dev/null; then generator=Ninja; else generator="Unix Makefiles"; fi
cmake -G "$generator" -S "$root" -B "$build" -DEDGE_AGENT_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DEDGE_AGENT_PYTHON_MODULE=OFF -DEDGE_AGENT_NATIVE_TESTS=ON >/dev/null
cmake --build "$build" -j 1 --target fuzz >/dev/null
export UBSAN_OPTIONS=print_stacktrace=1
if [ $# -ge 1 ]; then exec "$build/fuzz" "$@"; fi

for fault in $("$build/fuzz" --fault list); do
  if said=$("$build/fuzz" --fault "$fault" --runs 2000 2>&1); then
    echo "fuzz: the deliberate fault '$fault' was not found" >&2
    exit 1
  fi
  replay=$(printf '%s\n' "$said" | sed -n 's/.*replay with: fuzz //p' | tail -n 1)
  # shellcheck disable=SC2086  # words
  if [ -z "$replay" ] || "$build/fuzz" $replay >/dev/null 2>&1; then
    echo "fuzz: the deliberate fault '$fault' does not replay from its seed ($replay)" >&2
    exit 1
  fi
done
exec "$build/fuzz" --runs 20000
