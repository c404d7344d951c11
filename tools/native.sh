# Steps that the scripts of native code share; sourced by them (". tools/native.sh"), after root is set. POSIX shell.

# need HINT TOOL... : ends with status 3 and what to type, where a TOOL is not installed.
need() {
  hint=$1
  shift
  for tool in "$@"; do
    command -v "$tool" >/dev/null && continue
    echo "$(basename "$0" .sh): $tool is missing: type apt-get install $hint" >&2
    exit 3
  done
}

# quietly LOG COMMAND... : shows what the command said only when it fails.
quietly() {
  log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 && return
  cat "$log" >&2
  echo "$(basename "$0" .sh): failed: $*" >&2
  exit 1
}

# compile BUILD TARGET CMAKE_ARGUMENT... : configures BUILD and compiles TARGET ("all" for everything) in it, so many
# files at once as EDGE_AGENT_JOBS says (1: the compiler takes up to 400 MB for one).
compile() {
  build_in=$1
  target=$2
  shift 2
  if command -v ninja >/dev/null; then generator=Ninja; else generator="Unix Makefiles"; fi
  quietly "$build_in.log" cmake -G "$generator" -S "$root" -B "$build_in" "$@"
  quietly "$build_in.log" cmake --build "$build_in" -j "${EDGE_AGENT_JOBS:-1}" --target "$target"
}

# compile_sanitized BUILD TARGET CMAKE_ARGUMENT... : the same, with AddressSanitizer and UndefinedBehaviorSanitizer.
compile_sanitized() {
  build_in=$1
  target=$2
  shift 2
  compile "$build_in" "$target" -DEDGE_AGENT_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo "$@"
}
