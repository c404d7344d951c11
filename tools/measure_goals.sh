#!/bin/sh
# Three runs of the benchmarks of the kernels, then the table of the goals. For a machine with nothing else to do: takes
# about a quarter of an hour. The first run has everything, the others what the goals count: synthetic input, warm cache.
# usage: tools/measure_goals.sh [OUTPUT.jsonl]     PYTHON=... and ROUNDS=... may be set; EDGE_AGENT_DATA adds real inputs
set -eu
python=${PYTHON:-python3}
out=${1:-goals.jsonl}
: >"$out"
bench() {
  echo "bench $*" >&2
  "$python" -m edge_agent bench "$@" --rounds "${ROUNDS:-15}" --json >>"$out"
}
bench features
bench audio
bench codec
bench decide
for run in 2 3; do
  bench features --input texture --variant warm
  bench audio --input noise
  bench codec --case quantise_int8
  bench decide --size features
done
"$python" -m edge_agent bench goals "$out"
