# make app       sets everything up and opens the desktop app
# make test      sets everything up and runs what a change must pass at once: minutes
# make test-all  all that a change must pass, as CI runs it; each part is a target below, and docs/guarantees.md says what for
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(VENV)/.installed-torch
CHECKS := $(VENV)/.installed-checks
# The packages as they are when installed, as links: mypy and import-linter cannot follow an editable install.
LAYOUT := build/layout

.PHONY: app test test-all setup format clean lint types unit suite native properties ptx platforms interpreters kills
.PHONY: tools fuzz statistics faults elsewhere peers torch checks check

app: setup
	@$(BIN)/python fastdrop/system.py gui --install || true
	@$(BIN)/fastdrop gui

test: lint unit

# The parts run three at a time, since each waits for something now and then; the longest come first. The property tests
# have one seed here, so that a change is judged by what it changed.
test-all: tools lint
	@date '+%T: the parts, three at a time'
	@$(MAKE) --no-print-directory -j 3 suite properties kills native platforms interpreters ptx types SEED=1
	@date '+%T: all is well'

check: lint types

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src_kernels

types: checks
	@rm -rf $(LAYOUT) && mkdir -p $(LAYOUT)/fastdrop
	@ln -s $(CURDIR)/fastdrop/* $(LAYOUT)/fastdrop/
	@ln -s $(CURDIR)/src_kernels $(LAYOUT)/fastdrop/_kernels
	@ln -s $(CURDIR)/gui $(LAYOUT)/fastdrop_gui
	cd $(LAYOUT) && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml
	cd $(LAYOUT) && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml

# A test that does not even react to its own limit (120 s, 900 at most) ends its process, with every thread's traceback.
PYTEST := QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q --durations 15 \
	-o faulthandler_timeout=960 -o faulthandler_exit_on_timeout=true

unit: setup
	@$(BIN)/python fastdrop/system.py gui --install
	$(PYTEST) -m "not slow and not native and not gpu"

# The same with what takes longer, PyTorch, Dask and the type checkers among it.
suite: checks
	@$(BIN)/python fastdrop/system.py gui --install
	$(PYTEST) -m "not native and not gpu"

# Compilers, sanitizers, emulators, nvcc, a real window. What is skipped is listed: an instruction set that this processor lacks. A missing tool is a failure.
native: setup
	@$(BIN)/python fastdrop/system.py gui --install
	@$(BIN)/python fastdrop/system.py native --install
	@$(BIN)/python -m pip install --quiet --group native
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 \
		tests/test_native.py tests/test_cuda_native.py tests/test_statistics.py
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -q tests/test_gui_x11.py

# Random calls against the reference, on kernels built with sanitizers: for MINUTES, after a build of some minutes. SEED
# is one that a run has printed.
MINUTES ?= 15
properties: setup
	$(BIN)/python tests/properties/run.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Every reader of files and texts gets mutated inputs, guided by coverage: a million take ten minutes on two free
# cores. INPUTS=20000 is how many in all, READER="csv toml" which alone, SEED=7 the seed.
fuzz: setup
	@$(BIN)/python -m pip install --quiet --group fuzz
	PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(READER),--reader $(READER)) \
		$(if $(SEED),--seed $(SEED))

# The CUDA kernels as NVRTC compiles them, without a GPU: PTX executed, machine code counted. Minutes; less the second time.
ptx: setup
	@$(BIN)/python fastdrop/system.py native --install
	@$(BIN)/python -m pip install --quiet --group native
	$(BIN)/python tests/ptx/run.py

# The draws of masks through a battery of our own and dieharder; writes docs/statistics.md. Up to twenty minutes on two
# cores; `make statistics HOURS=8` goes on for a night, SEED=2 takes other draws.
statistics: setup
	@$(BIN)/python fastdrop/system.py statistics --install
	PYTHONPATH=tests $(BIN)/python -m randomness.run $(if $(HOURS),--hours $(HOURS)) $(if $(SEED),--seed $(SEED))

# The kernels for Windows, macOS, musl, RISC-V and WebAssembly, run under Wine, emulation and Wasmtime: some eight minutes.
platforms: setup
	@$(BIN)/python fastdrop/system.py platforms --install
	@$(BIN)/python -m pip install --quiet --group platforms
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 tests/test_platforms.py

# The tests under every other CPython that is found here: a few minutes each, and more for the first set-up.
interpreters: setup
	@$(BIN)/python fastdrop/system.py gui --install
	$(BIN)/python tests/interpreters.py

# Breaks the project in some 200 ways, one at a time, and says which test notices; eight minutes on two cores.
faults: torch
	$(BIN)/python tests/faults/run.py

# Writers are killed 100 times each, and given full and read-only disks (tests/test_kills*.py): some ten minutes, as root.
kills: setup
	@$(BIN)/python fastdrop/system.py gui --install
	@$(BIN)/python fastdrop/system.py kills --install
	QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 \
		tests/test_kills.py tests/test_kills_sweep.py tests/test_kills_app.py tests/test_full_disk.py

# The unit tests as on other machines: a quarter of an hour for all of the changes in tests/elsewhere.py, minutes for a
# part: make elsewhere ARGS="german turkish --tests tests/test_cli.py"
elsewhere: setup torch
	@$(BIN)/python fastdrop/system.py gui --install
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
	@$(BIN)/python fastdrop/system.py gui --install
	@for step in native kills platforms; do $(BIN)/python fastdrop/system.py $$step --install || exit 1; done
	@$(BIN)/python -m pip install --quiet --group native --group platforms

# PyTorch and Keras have some of the same layers: their values, gradients and statistics against ours. And each of the
# benchmark's peers, in every case of its plan, small.
peers: setup
	@$(BIN)/python -m pip install --quiet --group peers
	KERAS_BACKEND=torch OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -k "torch or keras" \
		tests/test_family.py tests/test_nn_layers.py tests/test_keras.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs tests/test_bench.py tests/test_bench_peers.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(STAMP)

# The sources that are compiled are prerequisites: an edited kernel is built again.
$(STAMP): pyproject.toml setup.py $(wildcard src_kernels/*.c src_kernels/*.h src_kernels/*.pyx)
	@$(PYTHON) -c 'import sys; sys.exit("fastdrop needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) fastdrop/system.py build --install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing fastdrop and what it needs into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[gui,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info src_kernels/cpu.c src_kernels/*.so
