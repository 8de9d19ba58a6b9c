# Two commands do everything: `make all` and `make test`. Each step also works by itself.
SHELL := /bin/bash
VENV := .venv
# The first Python that is really there, of a supported version, able to make an environment
SUPPORTED := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
RUN ?= tiny
# Two more than there are cores, eight at most, for many tests wait: for a time limit, a server, a killed process
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n < 6 ? n + 2 : 8 )))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Compiled modules are kept, whatever the environment says: every job of the workflow starts sooner
export PYTHONDONTWRITEBYTECODE :=
# img2dataset's image library must not look for updates
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: all env test lint types pytest clean help

all: env ## the whole paper at toy scale: environment, workflow, report
	snakemake all --config run=$(RUN)
	@echo "Open reports/$(RUN)/index.html"

env: $(VENV)/.installed ## the virtual environment .venv, as constraints.txt pins it

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or 3.12 with venv; install it, or make PYTHON=/its/path" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

test: env lint types pytest ## lint, types and tests

lint: env ## ruff, snakefmt, snakemake --lint
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	python workflow/lint.py

types: env ## mypy
	mypy

pytest: env ## the tests
	pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

clean: ## remove what `tiny` made, nothing else
	rm -rf data/tiny results/tiny reports/tiny runs/tiny logs/tiny

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12
