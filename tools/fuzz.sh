#!/bin/sh
# Builds the differential fuzzer (csrc/tests/fuzz.cpp) with AddressSanitizer and UndefinedBehaviorSanitizer and runs it with
# the given arguments; with none, first sees that it finds each deliberate fault, then runs what CI runs.
# usage: tools/fuzz.sh [--runs N | --seconds N] [--seed S] [ISA]...      exit status 3: something is not installed
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize
. "$root/tools/native.sh"
need "g++ cmake make" cmake c++
compile_sanitized "$build" fuzz -DEDGE_AGENT_PYTHON_MODULE=OFF -DEDGE_AGENT_NATIVE_TESTS=ON
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
