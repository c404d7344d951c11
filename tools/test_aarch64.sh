#!/bin/sh
# The wheel for ARM boards and a whole local answer on aarch64, without such a machine: builds the wheel, unpacks it beside
# those that pip would take there, runs Debian's arm64 Python under qemu, tests kernels and features there, and compares
# two answers a photo with those of this machine. Some minutes; by hand, not in CI. Shows that it is right, not how fast.
# usage: tools/test_aarch64.sh PYTHON [PHOTO ...]     PYTHON: 3.11, with edge-agent and what tools/aarch64_wheel.sh wants
# exit status 3: something is not installed, with what to type
set -eu
[ $# -ge 1 ] || { echo "usage: tools/test_aarch64.sh PYTHON [PHOTO ...]" >&2; exit 2; }
python=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/aarch64
for tool in aarch64-linux-gnu-g++ qemu-aarch64 apt-get dpkg; do
  command -v "$tool" >/dev/null || {
    echo "test_aarch64: $tool is missing: type apt-get install g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
    exit 3
  }
done
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "test_aarch64: Debian's arm64 Python is 3.11, $python is another: name a Python 3.11" >&2
  exit 2
}
mkdir -p "$build/debs" "$build/lists/partial" "$build/wheels" "$build/site" "$build/root"

# Debian's arm64 Python, unpacked and not installed: this machine's own packages stay as they are.
cd "$build/debs"
apt="apt-get -qq -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oDir::State::Lists=$build/lists"
if ! ls python3.11-minimal_* >/dev/null 2>&1; then
  $apt update
  $apt download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libpython3.11-dev libc6 libgcc-s1 \
    libstdc++6 libexpat1 zlib1g libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1
fi
for deb in *.deb; do dpkg -x "$deb" "$build/root"; done

# Wheels as pip would take them on a Raspberry Pi; what has no wheel of its own is pure Python.
wheels() {
  "$python" -m pip download -q --no-deps -d "$build/wheels" --only-binary=:all: --python-version 3.11 --implementation cp \
    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_28_aarch64 "$@"
}
wheels numpy==2.2.6 onnxruntime==1.23.2 opencv-python-headless tokenizers hypothesis protobuf pytest pytest-timeout \
  pluggy iniconfig packaging pygments sortedcontainers flatbuffers
cd "$build/site"
for wheel in "$build"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" .; done

"$root/tools/aarch64_wheel.sh" "$python" "$build/dist"
cd "$build"
rm -rf tree && mkdir tree
"$python" -m zipfile -e "$(ls -t dist/*.whl | head -1)" tree
cp -r "$root/tests" "$root/pyproject.toml" tree
arm="env PYTHONPATH=$build/tree:$build/site qemu-aarch64 -L $build/root $build/root/usr/bin/python3.11"

cd tree
$arm -m pytest -q -p no:cacheprovider --timeout 600 -k "neon or not scalar" \
  tests/unit/test_features_values.py tests/unit/test_features_kernels.py
[ $# -ge 1 ] || exit 0
answer="import sys, cv2; from pathlib import Path; from edge_agent.vlm import *
bundle = Bundle.open(Path(sys.argv[1])); see = VisionEncoder(bundle); say = Generator(bundle)
for photo in sys.argv[2:]:
    for question in ('what is in the picture?', 'is there a person in the picture?'):
        made = summarise(list(say.stream([see.encode(cv2.imread(photo))], question)), bundle.calibration)
        print(photo, question, made.text)"
$arm -c "$answer" "$root/models/edge-vqa" "$@" 2>/dev/null >"$build/arm.txt"
"$python" -c "$answer" "$root/models/edge-vqa" "$@" >"$build/here.txt"
diff "$build/arm.txt" "$build/here.txt" && echo "$(wc -l <"$build/arm.txt") answers are the same on both"
