# One target for each task. Every target makes .venv by itself when it is missing or out of date.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PYTHON ?= python3

# How long `make sim` runs, in seconds.
FOR ?= 60
# The first seed of `make soak`; by default one that was never run.
SEED ?= $(shell date +%s)0000
# What `make check` leaves out, because it takes long.
FAST := not integration and not slow

.DEFAULT_GOAL := help
.PHONY: help demo test check lint bench sim soak museum generated coverage golden integration compat clean

help:  ## show this list
	@awk -F ':.*##' '/^[a-z]+:.*##/ {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	-$(BIN)/python scripts/py_consul.py  # without it, its tests are skipped
	touch $@

demo: $(STAMP)  ## three nodes on this machine: write, kill the leader, read
	$(BIN)/quorate demo

test: $(STAMP)  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: lint  ## lint, types, layers, spelling and the fast tests
	$(BIN)/pyright
	$(BIN)/codespell
	$(BIN)/python -m pytest -q -n 2 -m "$(FAST)" tests/test_*.py $(wildcard tests/unit tests/golden)

lint: $(STAMP)  ## format, lint, types, layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(STAMP)  ## measure, beside other systems installed on this machine
	$(BIN)/python -m benchmarks

sim: $(STAMP)  ## simulate fresh seeds for FOR=60 seconds
	$(BIN)/python -m quorate.sim --for $(FOR)

soak: $(STAMP)  ## what takes hours: the tests marked so, 5,000 fresh seeds, all mutants
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m quorate.sim --seed $(SEED) --seeds 5000
	$(BIN)/python scripts/museum.py
	$(BIN)/python scripts/generated.py

museum: $(STAMP)  ## plant every known bug, and see which test and which seed finds it
	$(BIN)/python scripts/museum.py

generated: $(STAMP)  ## make thousands of small bugs, and see which the unit tests notice
	$(BIN)/python scripts/generated.py

COVERED := --cov=quorate.paxos --cov=quorate.wire --cov=quorate.node.gate
COVERING := tests/unit/paxos tests/unit/wire tests/unit/node/test_gate.py tests/golden tests/paper

coverage: $(STAMP)  ## the branches of paxos, wire and the gate that their own tests take
	$(BIN)/python -m pytest -q $(COVERING) --deselect tests/unit/paxos/test_seeds.py \
	  $(COVERED) --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=98

golden: $(STAMP)  ## write the golden traces anew; then review the diff
	$(BIN)/python -m tests.golden

integration: $(STAMP)  ## only the tests that start real processes
	$(BIN)/python -m pytest -m integration

compat: $(STAMP)  ## only the tests with foreign clients
	$(BIN)/python -m pytest tests/compat

clean:  ## remove .venv, caches and build products
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
