# `make help` lists the targets: it prints the comments behind `##`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(VENV)/.installed-torch
CHECKS := $(VENV)/.installed-checks
CXX_FILES = $(shell find src_kernels tests -name "*.h" -o -name "*.c" -o -name "*.cpp" -o -name "*.cu" -o -name "*.cuh" | grep -v cpu/cpu.c)

.PHONY: help app test test-all setup format clean lint types unit suite native properties ptx platforms interpreters kills
.PHONY: tools fuzz statistics faults elsewhere baselines torch checks check

help: ## list these targets
	@sed -nE 's/^([a-z-]+):.* ## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | sort | expand -t 18

app: setup ## open the desktop app
	@$(BIN)/python tests/machine.py gui --install || true
	@$(BIN)/fastdrop gui

test: lint unit ## what a change must pass at once: style and unit tests, three minutes

# The parts run three at a time, since each waits for something now and then; the longest come first. The property tests
# have one seed here, so that a change is judged by what it changed.
test-all: tools lint ## all that a change must pass, as CI runs it: 40 minutes
	@date '+%T: the parts, three at a time'
	@$(MAKE) --no-print-directory -j 3 suite properties kills native platforms interpreters ptx types SEED=1
	@date '+%T: all is well'

check: lint types ## style and types, as pre-commit runs them

lint: setup ## style: ruff, cython-lint, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src_kernels
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

types: checks ## mypy, and import-linter for the layers
	$(BIN)/mypy
	PYTHONPATH=.:gui $(BIN)/lint-imports

# A test that does not even react to its own limit (120 s, 900 at most) ends its process, with every thread's traceback.
PYTEST := QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q --durations 15 \
	-o faulthandler_timeout=960 -o faulthandler_exit_on_timeout=true

unit: setup ## the unit tests without the slow ones
	@$(BIN)/python tests/machine.py gui --install
	$(PYTEST) -m "not slow and not native and not gpu"

# The same with what takes longer, PyTorch, Dask and the type checkers among it.
suite: checks ## the unit tests with the slow ones: PyTorch, Dask, type checkers
	@$(BIN)/python tests/machine.py gui --install
	$(PYTEST) -m "not native and not gpu"

# What is skipped is listed: an instruction set that this processor lacks. A missing tool is a failure.
native: setup ## kernels under other compilers, sanitizers and emulators; the app in a real window
	@$(BIN)/python tests/machine.py gui --install
	@$(BIN)/python tests/machine.py native --install
	@$(BIN)/python -m pip install --quiet --group native
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 \
		tests/native/test_native.py tests/cuda/test_cuda_native.py tests/randomness/test_statistics.py
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -q tests/gui/test_gui_x11.py

# On kernels built with sanitizers, which takes some minutes. SEED is one that a run has printed.
MINUTES ?= 15
properties: setup ## random calls against the reference, for MINUTES=15
	$(BIN)/python tests/properties/run.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Guided by coverage. INPUTS=20000 is how many in all, READER="csv toml" which alone, SEED=7 the seed.
fuzz: setup ## mutated inputs for every reader of files: a million take ten minutes
	@$(BIN)/python -m pip install --quiet --group fuzz
	PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(READER),--reader $(READER)) \
		$(if $(SEED),--seed $(SEED))

# The CUDA kernels as NVRTC compiles them, without a GPU: PTX executed, machine code counted. Minutes; less the second time.
ptx: setup ## the compiled CUDA kernels, executed without a GPU
	@$(BIN)/python tests/machine.py native --install
	@$(BIN)/python -m pip install --quiet --group native
	$(BIN)/python tests/ptx/run.py

# Tests of this project and dieharder on the draws of masks. Up to twenty minutes on two
# cores; `make statistics HOURS=8` goes on for a night, SEED=2 takes other draws.
statistics: setup ## statistical tests of the draws; writes docs/statistics.md
	@$(BIN)/python tests/machine.py statistics --install
	PYTHONPATH=tests $(BIN)/python -m randomness.run $(if $(HOURS),--hours $(HOURS)) $(if $(SEED),--seed $(SEED))

# The kernels for Windows, macOS, musl, RISC-V and WebAssembly, run under Wine, emulation and Wasmtime: some eight minutes.
platforms: setup ## kernels for Windows, macOS, musl, RISC-V and WebAssembly
	@$(BIN)/python tests/machine.py platforms --install
	@$(BIN)/python -m pip install --quiet --group platforms
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 tests/native/test_platforms.py

# The tests under every other CPython that is found here: a few minutes each, and more for the first set-up.
interpreters: setup ## the tests under every other CPython that is installed
	@$(BIN)/python tests/machine.py gui --install
	$(BIN)/python tests/interpreters.py

# Breaks the project in some 200 ways, one at a time, and says which test notices; eight minutes on two cores.
faults: torch ## break the project in 200 ways and name the tests that notice
	$(BIN)/python tests/faults/run.py

# Writers are killed 100 times each, and given full and read-only disks (tests/kills): some ten minutes, as root.
kills: setup ## kill writers, fill disks: files survive (as root)
	@$(BIN)/python tests/machine.py gui --install
	@$(BIN)/python tests/machine.py kills --install
	QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 \
		tests/kills/test_kills.py tests/kills/test_kills_sweep.py tests/kills/test_kills_app.py tests/kills/test_full_disk.py

# The unit tests as on other machines: a quarter of an hour for all of the changes in tests/elsewhere.py, minutes for a
# part: make elsewhere ARGS="german turkish --tests tests/cli/test_cli.py"
elsewhere: setup torch ## the tests as on other machines: locales, fonts, time zones, homes
	@$(BIN)/python tests/machine.py gui --install
	@$(BIN)/python -m pip install --quiet --group elsewhere
	$(BIN)/python tests/elsewhere.py $(ARGS)

torch: $(TORCH)

$(TORCH): $(STAMP)
	@$(BIN)/python -m pip install --quiet --group torch
	@touch $@

checks: $(CHECKS)

$(CHECKS): $(TORCH)
	@$(BIN)/python -m pip install --quiet --group checks
	@touch $@

# What test-all needs, at once: two parts that install at the same time would be in each other's way.
tools: checks
	@$(BIN)/python tests/machine.py gui --install
	@for step in native kills platforms; do $(BIN)/python tests/machine.py $$step --install || exit 1; done
	@$(BIN)/python -m pip install --quiet --group native --group platforms

# PyTorch and Keras have some of the same layers: their values, gradients and statistics against fastdrop's. And each of
# the benchmark's baselines, in every case of its plan, small.
baselines: setup ## compare with PyTorch, Keras, JAX and Numba
	@$(BIN)/python -m pip install --quiet --group baselines
	KERAS_BACKEND=torch OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -k "torch or keras" \
		tests/core/test_family_published.py tests/nn/test_nn_torch.py tests/nn/test_keras.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs tests/bench/test_bench.py tests/bench/test_bench_baselines.py

format: setup ## format Python, C++ and CUDA
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

setup: $(STAMP) ## install everything into .venv

# The sources that are compiled are prerequisites: an edited kernel is built again.
$(STAMP): pyproject.toml setup.py $(shell find src_kernels -name "*.[chp]*")
	@$(PYTHON) -c 'import sys; sys.exit("fastdrop needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) tests/machine.py build --install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing fastdrop and what it needs into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[gui,dev]'
	@touch $@

clean: ## remove .venv and all that was built
	rm -rf $(VENV) build dist *.egg-info src_kernels/cpu/cpu.c fastdrop/_kernels/*.so
