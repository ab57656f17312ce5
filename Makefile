# `make demo` and `make test` do their own set-up: Python 3.11+, make and git are enough.
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/ready
PYTEST := $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder
PEERS := .venv-bench/ready

.PHONY: help setup demo test test-all check browser bench figures clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-9s %s\n", $$1, $$2 }'

setup: $(READY) ## Make .venv with everything pinned (constraints.txt), with uv or else pip

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found (hint: make PYTHON=/path/to/python3.11)" >&2; exit 1; }
	@echo "setup: making .venv" >&2
	$(PYTHON) -m venv .venv
	$(BIN)/python .ci/install.py '.[dev]'
	@touch $(READY)

demo: setup ## Go the whole way on sample_data/: pictures, training, scores in Parquet, a report
	$(BIN)/pointerprint demo

test: setup browser ## Run the tests, four files at a time, without the slow proofs that test-all adds
	$(PYTEST) -m 'not slow'

test-all: setup browser ## Run every test, with the slow proofs: 60 kills, 400 fuzzed files a format, long races
	$(PYTEST)

browser: setup ## Bring Chromium and rrweb for the tests in a browser, where they lack (make test does so)
	@$(BIN)/python .ci/browser.py

check: setup ## Check format, lint, types, import contracts, and the docs: links, commands, tables
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_docs.py

bench: $(PEERS) ## Time ours and its peers in one process (benchmarks/README.md)
	.venv-bench/bin/python -m benchmarks.speed

$(PEERS): $(READY) benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python .ci/install.py '.[dev]' --requirement benchmarks/requirements.txt
	@touch $(PEERS)

figures: setup ## Measure accuracy on recordings in POINTERPRINT_DATA; what needs absent ones says so and skips
	$(BIN)/python -m benchmarks.replays
	$(BIN)/python -m benchmarks.sapimouse
	$(BIN)/python -m benchmarks.balabit
	$(BIN)/python -m benchmarks.delbot

clean: ## Take away what was made
	rm -rf .venv .venv-bench out build *.egg-info
