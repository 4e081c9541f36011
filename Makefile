# Two commands matter:  make report   and   make test
PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
SPREAD := -n logical --dist worksteal
PYTEST := $(BIN)/python -m pytest $(SPREAD)

.DEFAULT_GOAL := help
.PHONY: help report findings calibration stress planted test test-slow test-notebooks test-torch test-explorer test-minimum coverage lint typecheck mypy statements pictures notebooks benchmarks docs dist clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: $(VENV)/.core  ## judge the bundled runs: a table here, and report/index.html
	$(BIN)/spectral-edge validate --out report

findings: $(VENV)/.core  ## write docs/findings.md and the runs' results.md from the bundled runs
	$(BIN)/python -m spectral_edge.validate.referee.report.findings > docs/findings.md.part
	mv docs/findings.md.part docs/findings.md
	$(BIN)/python -m spectral_edge.validate.referee.report.run_tables > validate/runs/data/results.md.part
	mv validate/runs/data/results.md.part validate/runs/data/results.md

calibration: $(VENV)/.core  ## measure size and power of the tests again (an hour; goes on where it was stopped)
	$(BIN)/spectral-edge validate --calibrate --out validate/referee

stress: $(VENV)/.core  ## count verdicts in noise of other kinds again (hours; goes on where it was stopped)
	$(BIN)/spectral-edge validate --calibrate --stress --jobs 1 --out validate/referee

planted: $(VENV)/.core  ## judge the planted worlds again, where the rules or what they share changed (seconds)
	$(BIN)/python -c 'from spectral_edge.validate.referee import predictions, size_and_power as s; \
	s.store_planted(predictions.PREDICTIONS, s.stored_file(), progress=lambda id, _: print(id))'

test: $(VENV)/.test  ## run the tests, on all cores (no PyTorch needed); those marked slow have a target of their own
	$(PYTEST) --ignore=tests/torch --ignore=tests/explorer -m "not notebook and not slow"

test-slow: $(VENV)/.test  ## run the slow ones: proofs, planted worlds, the report in a browser
	$(PYTEST) --ignore=tests/torch --ignore=tests/explorer -m "slow and not notebook"

test-notebooks: $(VENV)/.test  ## run the notebooks from top to bottom
	$(PYTEST) tests/house/test_notebooks.py

test-torch: $(VENV)/.torch  ## run the tests that need PyTorch
	$(PYTEST) tests/torch

test-explorer: $(VENV)/.browser  ## run the tests of the explorer's page, in a Chromium
	$(PYTEST) tests/explorer

test-minimum: $(VENV)/.dev  ## run the fast tests with the lowest versions that are declared
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/minimum
	$(BIN)/uv pip install --quiet --python build/minimum --resolution lowest-direct --editable '.[test]'
	build/minimum/bin/python -m pytest $(SPREAD) --ignore=tests/torch --ignore=tests/explorer -m "not notebook and not slow" -W default

coverage: $(VENV)/.torch  ## which lines the tests run; kernels a second time, as plain Python
	$(PYTEST) -m "not notebook" --cov --cov-report=
	NUMBA_DISABLE_JIT=1 $(PYTEST) tests/simulate tests/validate/gram/test_inner_products.py \
		-k "interpreted or oracle or advance or rounding or test_gap" --cov --cov-append --cov-report=term:skip-covered

lint: $(VENV)/.dev  ## ruff: errors, style, docstrings, format; workflows against their schema
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --quiet --builtin-schema github-workflows .github/workflows/*.yml

typecheck: mypy $(VENV)/.dev  ## mypy on the package, Pyright on everything
	$(BIN)/pyright

mypy: $(VENV)/.dev  ## mypy on the package
	$(BIN)/mypy -p spectral_edge

statements: $(VENV)/.core  ## write docs/theory.md from the propositions
	$(BIN)/python -m spectral_edge.theory.statements.document > docs/theory.md.part
	mv docs/theory.md.part docs/theory.md

pictures: $(VENV)/.core  ## draw the pictures of README and documentation again, from the bundled runs
	$(BIN)/python docs/pictures.py

notebooks: $(VENV)/.test  ## run the notebooks and store what they show
	$(BIN)/python docs/execute_notebooks.py

benchmarks: $(VENV)/.bench  ## time everything beside its peers, into docs/benchmarks.md (half an hour on a quiet machine)
	$(BIN)/python benchmarks/table.py

docs: $(VENV)/.docs  ## build the documentation: docs/_build/html/index.html; all its links lead somewhere
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

dist: $(VENV)/.dev  ## build wheel and source distribution, check them, and try the wheel in an environment of its own
	rm -rf dist build/tried && mkdir -p build/tried
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/tried/environment
	build/tried/environment/bin/python -m pip install --quiet "$$(ls $(CURDIR)/dist/*.whl)[app]"
	cd build/tried && environment/bin/spectral-edge validate --out report > verdicts.txt && tail -1 verdicts.txt
	cd build/tried && environment/bin/spectral-edge ode
	cd build/tried && environment/bin/spectral-edge explore --check

clean:  ## remove the environment and everything built
	rm -rf $(VENV) build docs/_build dist report *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

# A stamp per extra: what is installed stays until pyproject.toml changes.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spectral-edge needs Python 3.11 or newer, got %d.%d; set PYTHON=" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.core

$(VENV)/.torch: pyproject.toml $(VENV)/.test
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[test,torch,integrations]'
	@touch $@

$(VENV)/.browser: pyproject.toml $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.core $(VENV)/.test
