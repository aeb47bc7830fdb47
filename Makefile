# Everything is set up by the first target that needs it: a virtual environment with pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

SHARED := [ids],[ids,day],[ids,day,side],[ids,day,side,implicit]
FLIPPED := [ids,day,side,implicit,implicit_items]
ALL := [ids,day,side,implicit,implicit_items,sessions]

.DEFAULT_GOAL := help
.PHONY: help install reproduce peers state-of-the-art test test-models test-harness test-fast ui clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv and install what is pinned in .ci/constraints.txt

$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[bench,test]'
	@touch $@

reproduce: $(READY) ## the published gap, measured again: table, plot, tracked runs (minutes)
	@$(BIN)/python -m bench experiment=published_gap

peers: $(READY) ## the leaderboard: every model and what people use instead (three quarters of an hour)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[bench,test,peers]'
	@$(BIN)/python -m bench experiment=peers jobs=2

state-of-the-art: $(READY) ## what each kind of information adds, how far it goes, beside myFM (hours)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[bench,test,peers]'
	@$(BIN)/python -m bench experiment=choose_k
	@$(BIN)/python -m bench experiment=choose_k 'features.names=[ids]' split=ua seed=0,1
	@$(BIN)/python -m bench experiment=ablation
	@$(BIN)/python -m bench experiment=ablation model=fm_ordinal 'features.names=$(FLIPPED),$(ALL)'
	@$(BIN)/python -m bench experiment=ablation model=peer_myfm 'features.names=$(SHARED),$(FLIPPED)' seed=0
	@$(BIN)/python -m bench experiment=ablation model=peer_myfm_ordered 'features.names=$(FLIPPED)' seed=0
	@$(BIN)/python -m bench experiment=state_of_the_art
	@$(BIN)/python -m bench experiment=state_of_the_art model.k=16 'features.names=[ids]' split=ua
	@$(BIN)/python -m bench.studies.state_of_the_art

test: $(READY) ## all tests; those on MovieLens-100K need the data or a network
	@$(MAKE) --no-print-directory -j2 test-models test-harness

test-models: $(READY)
	$(BIN)/python -m pytest --ignore=tests/bench

test-harness: $(READY)
	$(BIN)/python -m pytest tests/bench

test-fast: $(READY) ## the tests that need no data
	$(BIN)/python -m pytest -m 'not ml100k and not slow'

ui: $(READY) ## the MLflow dashboard over the tracked runs, on loopback
	@$(BIN)/python -m bench.ui

clean: ## remove the environment; tracked runs stay
	rm -rf $(VENV)
