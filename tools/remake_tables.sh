#!/bin/sh
# Everything that was measured with the shipped model pair, measured again: for when a bundle changed. An hour of one
# core; what it took is kept in WORK, so that a run which was cut short goes on. The steps marked "alone" want a machine
# that does nothing else: ALONE is put before them (a command that waits for that, for instance).
# A machine that is not the one for times: TIMES_OF=an earlier nodes.npz, SLOWER="--slower NODE=FIRST,FURTHER ..." (docs/methods.md).
# usage: EDGE_AGENT_DATA=FOLDER tools/remake_tables.sh WORK [STEP...]     PYTHON=... and ALONE=... may be set
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
alone=${ALONE:-}
work=${1:?usage: tools/remake_tables.sh WORK [STEP...]}
shift
data=${EDGE_AGENT_DATA:?the folder with coco/ and daquar/}
mkdir -p "$work"

cloud() {
  "$python" -m cloud_stub --port 8791 >"$work/cloud.log" 2>&1 &
  server=$!
  trap 'kill $server 2>/dev/null || true' EXIT
  sleep 5
}

for step in ${*:-ask time pack fit levels tmo tune headlines agent}; do
  echo "$(date +%T) $step" >&2
  case $step in
    ask) "$python" -m tools.measure_nodes --step ask --work "$work" ;;
    time) $alone "$python" -m tools.measure_nodes --step time --work "$work" ;; # alone
    pack)
      "$python" -m tools.measure_nodes --step pack --work "$work"
      # shellcheck disable=SC2086 # SLOWER is a list of options
      [ -z "${TIMES_OF:-}" ] || "$python" -m tools.measure_nodes --times-of "$TIMES_OF" ${SLOWER:-}
      ;;
    fit) "$python" -m tools.fit_nodes ;;
    levels) "$python" -m tools.measure_levels ;;
    tmo)
      cloud
      "$python" -m tools.measure_tmo --cloud http://127.0.0.1:8791 \
        "$data/daquar/dev.jsonl:1000" "$data/coco/dev.jsonl" >"$work/tmo.json"
      mv "$work/tmo.json" edge_agent/assets/tmo.json
      kill $server
      ;;
    tune) "$python" -m tools.tune_msao ;;
    headlines) "$python" -m tools.headlines ;;
    agent) # alone
      cloud
      $alone "$python" -m tools.check_simulator --cloud http://127.0.0.1:8791 --data "$data/coco/dev.jsonl" --docs
      kill $server
      ;;
    *)
      echo "remake_tables.sh: no step $step" >&2
      exit 2
      ;;
  esac
done
