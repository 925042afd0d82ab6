# Every target works alone, from a clean clone, without root and without a Redis.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SCHEMA := docs/schema/pipeline.schema.json

# The first of these that is Python 3.11 or later; `make PYTHON=/path/to/python` names another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; \
	done)

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast lint format type check bench docs schema clean clean-all

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Create .venv and install rsq-pipe and its tools there.

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed, and none is on PATH; install one," \
		"or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot create environments:" \
		"its venv module is missing (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

run: install  ## Price the example orders: rsq-pipe run pipelines/orders.yaml.
	$(BIN)/rsq-pipe run pipelines/orders.yaml

test: install  ## Run all tests, on the bundled Valkey and on redis-server where that is on PATH.
	$(BIN)/pytest

test-fast: install  ## Run the unit tests: seconds, no server.
	$(BIN)/pytest tests/unit

lint: install  ## Check style and formatting.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: install  ## Format, and fix what can be fixed.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

type: install  ## Check types.
	$(BIN)/mypy

check: lint type test  ## Do all that CI does.

bench: install  ## Measure starts, and rates beside a peer and connectors; takes a quiet machine.
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.hops
	$(BIN)/python -m benchmarks.connectors

docs: install  ## Check the documents: links, commands, and every snippet that can be run.
	$(BIN)/pytest -m docs

schema: install  ## Write the JSON Schema of pipeline files, for editors.
	@mkdir -p $(dir $(SCHEMA))
	$(BIN)/rsq-pipe schema > $(SCHEMA).new
	mv $(SCHEMA).new $(SCHEMA)

clean:  ## Delete caches and builds.
	rm -rf dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean  ## Delete the environment, the embedded server's data and all output as well.
	rm -rf $(VENV) .rsq out
