# make app    sets everything up and opens the desktop app
# make test   sets everything up and runs all checks but the native ones
# make test-all  these as well: the kernels built by gcc, clang and nvcc, with sanitizers, and for Arm under emulation
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The packages as they are when installed, as links: mypy and import-linter cannot follow an editable install.
LAYOUT := build/layout

.PHONY: app test test-all check unit torch native faults peers format setup clean

app: setup
	@$(BIN)/python fastdrop/system.py gui --install || true
	@$(BIN)/fastdrop gui

test: check unit

test-all: test native

check: setup torch
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src_kernels
	@rm -rf $(LAYOUT) && mkdir -p $(LAYOUT)/fastdrop
	@ln -s $(CURDIR)/fastdrop/* $(LAYOUT)/fastdrop/
	@ln -s $(CURDIR)/src_kernels $(LAYOUT)/fastdrop/_kernels
	@ln -s $(CURDIR)/gui $(LAYOUT)/fastdrop_gui
	cd $(LAYOUT) && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml
	cd $(LAYOUT) && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml

unit: setup torch
	@$(BIN)/python fastdrop/system.py gui --install
	QT_QPA_PLATFORM=offscreen OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q -m "not native and not gpu"

# Minutes. What is skipped is listed: an instruction set that this processor lacks. A missing tool is a failure.
native: setup
	@$(BIN)/python fastdrop/system.py gui --install
	@$(BIN)/python fastdrop/system.py native --install
	@$(BIN)/python -m pip install --quiet --group native
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -m native -v -rsP --durations 8 \
		tests/test_native.py tests/test_cuda_native.py
	FASTDROP_REQUIRE_NATIVE=1 $(BIN)/python -m pytest -q tests/test_gui_x11.py

# Breaks the project in some 200 ways, one at a time, and says which test notices: eight minutes on two cores.
faults: torch
	$(BIN)/python tests/faults/run.py

torch: setup
	@$(BIN)/python -m pip install --quiet --group torch

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
