# Two commands matter:  make report   and   make test
PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help report findings calibration planted test test-torch lint typecheck docs clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: $(VENV)/.core  ## judge the bundled runs: a table here, and report/index.html
	$(BIN)/spectral-edge validate --out report

findings: $(VENV)/.core  ## write docs/findings.md and the runs' results.md from the bundled runs
	$(BIN)/python -m spectral_edge.validate.referee.report.findings > docs/findings.md.part
	mv docs/findings.md.part docs/findings.md
	$(BIN)/python -m spectral_edge.validate.referee.report.run_tables > validate/runs/data/results.md.part
	mv validate/runs/data/results.md.part validate/runs/data/results.md

calibration: $(VENV)/.core  ## measure size and power of the tests again (an hour; goes on where it was stopped)
	$(BIN)/spectral-edge validate --calibrate --out validate/referee

planted: $(VENV)/.core  ## judge the planted worlds again, where the rules or what they share changed (a minute)
	$(BIN)/python -c 'from spectral_edge.validate.referee import predictions, size_and_power as s; \
	s.store_planted(predictions.PREDICTIONS, s.stored_file(), progress=lambda id, _: print(id))'

test: $(VENV)/.test  ## run the tests (no PyTorch needed)
	$(BIN)/python -m pytest --ignore=tests/torch

test-torch: $(VENV)/.torch  ## run the tests that need PyTorch
	$(BIN)/python -m pytest tests/torch

lint: $(VENV)/.dev  ## ruff: errors, style, docstrings, format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.dev  ## mypy on the package, Pyright on everything
	$(BIN)/mypy -p spectral_edge
	$(BIN)/pyright

docs: $(VENV)/.core  ## write docs/theory.md from the propositions
	$(BIN)/python -m spectral_edge.theory.statements.document > docs/theory.md.part
	mv docs/theory.md.part docs/theory.md

clean:  ## remove the environment and everything built
	rm -rf $(VENV) build dist report *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

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

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.core $(VENV)/.test
