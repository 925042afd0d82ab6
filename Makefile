# Every target works alone, from a clean clone, without root and without a Redis.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUNS := $(VENV)/.runs
SCHEMA := docs/schema/pipeline.schema.json
PIP := -m pip --disable-pip-version-check install --quiet

# What is installed, to the byte: every package with its hashes. `make lock` writes these. A first run does not wait for
# the tools, nor for what only some connectors need: `make run` installs run.txt, and `make install` the rest as well.
LOCKS := requirements
RUN_EXTRAS := page top dev metrics
# The lowest versions that pyproject.toml allows have an environment of their own, and so has what writes the locks.
LOWEST := $(VENV)/lowest
UV := $(VENV)/lock/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(UPGRADE) pyproject.toml
COMPILE_ALL = $(COMPILE) --all-extras
# Options of benchmarks: make bench BENCH="--rounds 7 --flights flights.csv.gz".
BENCH ?=
# What `make test-lowest` runs.
LOWEST_TESTS ?= tests/unit tests/e2e/test_orders.py tests/e2e/test_metrics.py tests/e2e/test_dlq*.py \
	tests/e2e/test_tracing*.py tests/e2e/test_exit_codes.py

# The first of these that is Python 3.11 or later; `make PYTHON=/path/to/python` names another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; \
	done)

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast test-lowest lint format type check bench bench-connectors bench-quick bench-beam docs screenshots \
	schema lock upgrade clean clean-all

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Create .venv and install rsq-pipe, all its extras and its tools there.

$(INSTALLED): pyproject.toml $(LOCKS)/dev.txt $(LOCKS)/run.txt
	$(call INSTALL,dev)
	@touch $(RUNS) $@

$(RUNS): pyproject.toml $(LOCKS)/run.txt
	$(call INSTALL,run)
	@touch $@

define INSTALL
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed, and none is on PATH; install one," \
		"or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@python=$(BIN)/python otherwise="remove $(VENV), and run make again"; test -x $$python || { python="$(PYTHON)"; \
		otherwise="name one that is: make PYTHON=/path/to/python3.11"; }; \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: $$python is not Python 3.11 or later; $$otherwise" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot create environments:" \
		"its venv module is missing (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python $(PIP) --require-hashes --requirement $(LOCKS)/$(1).txt
	$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	@# Otherwise it is compiled by the first start, and by every start where PYTHONDONTWRITEBYTECODE is set.
	$(BIN)/python -m compileall -q rsq_pipe
endef

run: $(RUNS)  ## Price the example orders: rsq-pipe run pipelines/orders.yaml.
	$(BIN)/rsq-pipe run pipelines/orders.yaml

test: install  ## Run all tests, or those that TESTS names, on the bundled Valkey and on redis-server where that is on PATH.
	@# What lies above the streams runs on one of the two, test by test; RSQ_TEST_SERVERS=all runs it on both.
	$(BIN)/pytest $(TESTS)

test-fast: install  ## Run the unit tests: seconds, no server.
	$(BIN)/pytest tests/unit

test-lowest: $(LOWEST)/.installed  ## Run the unit tests and some others on the lowest versions of all packages.
	$(LOWEST)/bin/pytest $(LOWEST_TESTS)

$(LOWEST)/.installed: pyproject.toml $(LOCKS)/lowest.txt | install
	test -x $(LOWEST)/bin/python || "$(PYTHON)" -m venv $(LOWEST)
	$(LOWEST)/bin/python $(PIP) --require-hashes --requirement $(LOCKS)/lowest.txt
	$(LOWEST)/bin/python $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

lint: install  ## Check style and formatting.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: install  ## Format, and fix what can be fixed.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

type: install  ## Check types.
	$(BIN)/mypy

check: lint type test  ## Do all that CI does.

bench: $(VENV)/.peers  ## Measure rates, latency, memory and starts, compared with peers, for an hour; takes a quiet machine.
	$(BIN)/python -m benchmarks $(BENCH)

bench-connectors: install  ## Measure every connector, and write the rates into the documents: minutes, on a quiet machine.
	$(BIN)/python -m benchmarks.connectors $(BENCH)
	$(BIN)/python -m benchmarks.rates

bench-quick: $(VENV)/.peers  ## Run every benchmark once, small: whether they work, not how fast anything is.
	$(BIN)/python -m benchmarks --quick $(BENCH)

bench-beam: install  ## Create an environment with Apache Beam, for `make bench` to measure as well.
	test -x $(VENV)/beam/bin/python || "$(PYTHON)" -m venv $(VENV)/beam
	$(VENV)/beam/bin/python $(PIP) "apache-beam[yaml]==2.77.0"

$(VENV)/.peers: $(LOCKS)/bench.txt | install
	$(BIN)/python $(PIP) --require-hashes --requirement $(LOCKS)/bench.txt
	@touch $@

docs: install  ## Check the documents: links, commands, and every snippet that can be run.
	$(BIN)/pytest -m docs

screenshots: install  ## Take the pictures of the page again, for README and docs; needs Chromium.
	$(BIN)/python -m tests.browser.screenshots docs/images

schema: install  ## Write the JSON Schema of pipeline files, for editors.
	@mkdir -p $(dir $(SCHEMA))
	$(BIN)/rsq-pipe schema > $(SCHEMA).new
	mv $(SCHEMA).new $(SCHEMA)

lock: $(UV)  ## Rewrite the lock after a change in pyproject.toml; other packages keep their versions.
	$(COMPILE_ALL) --group dev --output-file $(LOCKS)/dev.txt
	$(COMPILE) $(RUN_EXTRAS:%=--extra %) --group build --constraint $(LOCKS)/dev.txt --output-file $(LOCKS)/run.txt
	$(COMPILE_ALL) --group bench --constraint $(LOCKS)/dev.txt --output-file $(LOCKS)/bench.txt
	$(COMPILE_ALL) --group test --group build --upgrade --resolution lowest-direct --output-file $(LOCKS)/lowest.txt

upgrade:  ## Bring the lock to the newest version of every package.
	$(MAKE) lock UPGRADE=--upgrade

$(UV):
	"$(PYTHON)" -m venv $(VENV)/lock
	$(VENV)/lock/bin/python $(PIP) "uv>=0.9"

clean:  ## Delete caches and builds.
	rm -rf dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean  ## Delete the environment, the embedded server's data and all output as well.
	rm -rf $(VENV) .rsq out
