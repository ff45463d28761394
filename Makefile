# groupeffect: two commands do everything.  `make` runs the main job, `make test` the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.groupeffect-installed
STUDIES ?= analyses/config/mathpnl.toml analyses/config/main.toml
SMALL := analyses/config/mathpnl.toml analyses/config/small.toml
MICHIGAN := analyses/out/mathpnl_districts.csv

.DEFAULT_GOAL := study
.PHONY: study small test test-all lint types check coverage bench verify clean distclean help data install hooks

study: install $(MICHIGAN) ## The main job: data, estimates, figures, brief (English and Chinese) and paper
	@$(BIN)/groupeffect run $(STUDIES)

small: install $(MICHIGAN) ## The main job on a small panel (about a minute or two)
	@$(BIN)/groupeffect run $(SMALL)

verify: install $(MICHIGAN) ## Run the small job twice from nothing and compare every byte
	@$(BIN)/groupeffect verify $(SMALL)

install: $(STAMP)

$(MICHIGAN): analyses/prepare_mathpnl.py | install
	@$(BIN)/python analyses/prepare_mathpnl.py $@

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "groupeffect needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

test: install ## The tests (a few minutes)
	$(BIN)/python -m pytest -n auto -m "not slow" -q

test-all: install ## Slow tests too
	$(BIN)/python -m pytest -n auto -q

check: lint types test ## What a reviewer runs

lint: install ## Style
	$(BIN)/ruff check src tests analyses benchmarks
	$(BIN)/ruff format --check src tests analyses benchmarks

types: install ## Strict types
	$(BIN)/mypy

bench: install ## Speed against the peers (see benchmarks/README.md)
	$(BIN)/python benchmarks/callaway_santanna.py

data: install ## Write the committed small synthetic data again (data/synthetic)
	@$(BIN)/groupeffect simulate data/synthetic --schools 300 --seed 7

hooks: install ## Install the pre-commit hooks
	$(BIN)/prek install

clean: ## Remove outputs, keep the environment
	rm -rf analyses/out paper/generated paper/*.pdf .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean ## Remove the environment too
	rm -rf $(VENV)

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12
