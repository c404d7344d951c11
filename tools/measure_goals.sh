#!/bin/sh
# Three runs of every benchmark of the kernels, then the table of the goals. For a machine with nothing else to do: takes about half an hour.
# usage: tools/measure_goals.sh [OUTPUT.jsonl]     PYTHON=... and ROUNDS=... may be set; EDGE_AGENT_DATA adds real inputs
set -eu
python=${PYTHON:-python3}
rounds=${ROUNDS:-15}
out=${1:-goals.jsonl}
: >"$out"
for run in 1 2 3; do
  for subject in features audio codec decide; do
    echo "run $run: bench $subject" >&2
    "$python" -m edge_agent bench "$subject" --rounds "$rounds" --json >>"$out"
  done
done
"$python" -m edge_agent bench goals "$out"
