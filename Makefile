# Two commands matter to a newcomer: `make demo` and `make test`. Both install what they need.
#
# PYTHON   a Python 3.11, 3.12 or 3.13     (make demo PYTHON=python3.12)
# FRESH=1  lets `make demo` start over instead of reusing what is already there

PYTHON ?= python3
VENV   ?= .venv
# Processes that run tests side by side.
TEST_PROCESSES ?= 2
BIN    := $(VENV)/bin
# Wheels are linked from uv's cache where that is on the same disk, and copied where it is not.
export UV_LINK_MODE ?= copy
# Once, by all cores, instead of at the first import of every process: PyTorch's takes seconds.
export UV_COMPILE_BYTECODE ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-cluster test-long lint images protos install install-dev minio lock clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## from the photos in two Python packages to a trained, scored generator
	@echo "Tagloom demo: 3 to 10 minutes on 2 cores without a GPU, 1 to 2 of them for installing 6 GB of Python packages."
	@$(MAKE) --no-print-directory install
	@$(BIN)/python tools/demo.py $(if $(FRESH),--fresh)

# The server builds while the linters run. Files of tests stay together, since their fixtures
# start servers; the slowest files come first in the alphabet, and are started first.
test: install-dev ## every test: unit, conformance, golden, faults, integration
	@$(MAKE) --no-print-directory -j2 minio-if-possible check
	$(BIN)/python -m pytest -q -m "not long and not cluster" -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-cluster: install-dev minio-if-possible ## on a live Kubernetes cluster with our own images (20 to 45 minutes; Linux, root)
	tests/cluster/machine/requisites
	$(BIN)/python -m pytest -q -m "not long" -o faulthandler_timeout=1800 tests/cluster

test-long: install-dev minio-if-possible ## the full counts of kills, fuzz inputs and soaks (hours)
	$(BIN)/python -m pytest -m long -o faulthandler_timeout=7200 -n $(TEST_PROCESSES) --dist loadfile

lint: install-dev check ## ruff, mypy and buf alone
	$(BIN)/python tools/protos.py --googleapis-only && $(BIN)/buf lint

.PHONY: check minio-if-possible
check: install-dev
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

minio-if-possible: install-dev
	$(BIN)/python tools/minio_build.py --if-possible

protos: install-dev ## generate tagloom/v1 from protos/ again
	$(BIN)/python tools/protos.py

minio: $(VENV)/installed-dev ## build the real MinIO server for the tests, once (3 to 5 minutes)
	$(BIN)/python tools/minio_build.py

images: install-dev ## build every container image on a local Debian, into one layout (root, buildah, skopeo)
	$(BIN)/python -m tools.image_build --local-base

lock: install-dev ## resolve requirements.txt and requirements-dev.txt again
	$(BIN)/python tools/lock.py

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

# uv installs the stack in about a minute, where pip takes five; it comes as a wheel itself.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Tagloom needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there). Say which one: make PYTHON=python3.12 …"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/installed: requirements.txt pyproject.toml | $(BIN)/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --require-hashes -r requirements.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt pyproject.toml | $(BIN)/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --require-hashes -r requirements-dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $@ $(VENV)/installed

clean: ## remove what was built and made here, but no collected data
	rm -rf $(VENV) build demo pictures .mypy_cache .ruff_cache .pytest_cache
