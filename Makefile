# Everything is set up by the first target that needs it: a virtual environment with pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install reproduce test test-models test-harness test-fast check lint types doctests docs ui clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv and install the versions of .ci/constraints.txt

$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[bench,dev]'
	@touch $@

reproduce: $(READY) ## measure the published gap again: table, figures, tracked runs (three minutes)
	@$(BIN)/python -m bench experiment=published_gap

test: $(READY) ## run all tests; those on MovieLens-100K need the data or a network
	@$(MAKE) --no-print-directory -j2 test-models test-harness

test-fast: $(READY) ## run the tests that need no data and take a minute in all
	@$(MAKE) --no-print-directory -j2 test-models test-harness ONLY="-m 'not ml100k and not slow'"

test-models: $(READY)
	$(BIN)/python -m pytest --ignore=tests/bench $(ONLY)

test-harness: $(READY)
	$(BIN)/python -m pytest tests/bench $(ONLY)

check: lint types doctests docs ## check format, style, types, examples in docstrings, and the docs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@git ls-files '*.py' | xargs wc -l | awk '$$2 != "total" && $$1 > 350 {print $$2 ": " $$1 " lines, 350 at most"; bad = 1} END {exit bad}'
	@printf 'fm, baselines and bench: %s lines of Python, bench/studies: %s\n' \
		"$$(git ls-files 'fm/*.py' 'baselines/*.py' 'bench/*.py' | xargs cat | wc -l)" "$$(git ls-files 'bench/studies/*.py' | xargs cat | wc -l)"

types: $(READY)
	$(BIN)/mypy

doctests: $(READY)
	$(BIN)/python -m pytest -q --doctest-modules fm baselines bench --ignore=bench/studies

docs: $(READY) ## build the documentation into docs/_build/html, offline
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

ui: $(READY) ## open the MLflow dashboard over the tracked runs, on loopback
	@$(BIN)/python -m bench.ui

clean: ## remove the environment and the built docs; tracked runs stay
	rm -rf $(VENV) docs/_build docs/auto_examples docs/reference/generated
