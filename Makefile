# Everything from a fresh machine with Python >= 3.11: `make demo` and `make test` create .venv, install and run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs install clean
demo: $(STAMP)
	$(BIN)/stvr demo --out demo

test: lint docs
	$(BIN)/python -m pytest
	$(BIN)/python scripts/compile_kernels.py

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
	rm -rf $(VENV) demo site
